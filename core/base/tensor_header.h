#pragma once
// The header of files in the layout of safetensors: the length of a JSON header in 8 bytes, the header, then the
// values, little-endian. It is checked before any value is read. Such files are tensor files
// (experiments/support/tensor_file.h) and packed models (quant/packed/file.h).
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/element_type.h"
#include "core/base/shape.h"

namespace coarsegrad {

/// The largest header that is written or read. A checkpoint keeps its results and loss curve there; 200
/// tensors take 20 KB.
inline constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{32} << 20;

/// A tensor and the place of its values.
struct TensorEntry {
  std::string name;                         ///< unique in the file
  Shape shape;                              ///< extents, outermost first
  std::uint64_t begin,                      ///< first byte of the values, from the end of the header
      end;                                  ///< byte behind the last one of the values, from the end of the header
  ElementType type = ElementType::float32;  ///< float32 ("F32") or uint8 ("U8")
};

/// What stands before the values.
struct TensorHeader {
  std::vector<TensorEntry> tensors;             ///< in the order of their values, without holes and overlaps
  std::map<std::string, std::string> metadata;  ///< entry "__metadata__" of the JSON
};

/// Reads the header of a file with `value_bytes` bytes behind it, whose tensors are float32 or, where the file may hold
/// bytes, uint8. Takes memory of the order of the text. Throws Error, in words that continue the name of the file, for
/// malformed JSON, another dtype, a name or key twice, shapes and offsets that are no whole numbers or do not fit each
/// other or the file, and values with holes or overlaps.
TensorHeader parse_header(std::string_view text, std::uint64_t value_bytes, bool with_bytes = false);

/// The values of a file, piece by piece.
using ValueBytes = std::span<const std::span<const std::byte>>;
/// What stands in a file before these values: 8 bytes of length and the header, with the SHA-256 of both as its
/// metadata "sha256", and blanks up to a multiple of 8 bytes. Throws Error for metadata of that name, for a name twice,
/// and for a header of more than kMaxHeaderBytes.
std::string header_bytes(TensorHeader header, ValueBytes values);
/// Takes the entry "sha256" out of the metadata. Throws Error, in words that continue the name of the file, where it is
/// missing or is not that of header and values.
void take_checksum(TensorHeader& header, ValueBytes values);

}  // namespace coarsegrad
