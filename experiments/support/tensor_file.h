#pragma once
// Tensor files: named arrays with a JSON header, in the layout of safetensors (8 bytes of header length, the
// header, then the values, little-endian), so that Python reads them too. A file under its final name is
// whole: it is written under a temporary name, synced, renamed, and carries a SHA-256. Reading is strict and
// treats the file as hostile.
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/shape.h"

namespace coarsegrad::experiments {

/// One named array of a tensor file.
struct StoredTensor {
  std::string name;           ///< unique in the file
  Shape shape;                ///< extents, outermost first
  std::vector<float> values;  ///< shape.size() of them, row-major
};

/// The contents of a tensor file.
struct TensorFile {
  std::vector<StoredTensor> tensors;            ///< names are unique
  std::map<std::string, std::string> metadata;  ///< free text; "sha256" is taken
};

/// Writes the file in place of what was there. Throws Error when the contents do not fit together, names and metadata
/// take more than 32 MiB, or the file cannot be written; what was there stays then.
void write_tensor_file(const std::filesystem::path& path, const TensorFile& file);

/// Reads the file; its values are read only when the header fits the file, so that it takes memory of the order of its
/// size. Throws Error "tensor file PATH: ..." for anything that write_tensor_file() does not write: what is no regular
/// file, a header that is longer than 32 MiB, malformed or incomplete, names twice, offsets with holes or overlaps,
/// sizes that disagree, a wrong checksum.
TensorFile read_tensor_file(const std::filesystem::path& path);

/// Replaces the contents of a file as a whole: temporary name in the same folder, sync, rename, sync of the
/// folder. Makes missing folders; removes what killed processes have left of the same file (.NAME.PID.tmp).
/// Permissions are those of the umask. Throws Error when it cannot; what was there stays then.
void write_file_atomically(const std::filesystem::path& path, const std::string& contents);

}  // namespace coarsegrad::experiments
