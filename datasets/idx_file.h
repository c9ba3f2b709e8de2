#pragma once
// IDX files, the format of MNIST and its relatives: a big-endian header (two zero bytes, the element type,
// the number of axes, then each extent in 32 bits) and the elements in row-major order. Source:
// yann.lecun.com/exdb/mnist.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/base/shape.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// An array of unsigned bytes, the only element type of the MNIST family.
struct IdxArray {
  Shape shape;                      ///< extents in the order of the file
  std::vector<std::uint8_t> bytes;  ///< shape.size() of them
  /// SHA-256 of the file this array comes from or would be written to, unpacked.
  std::string sha256() const;
};

/// Reads `path`, plain or packed with gzip (told apart by its content), which must hold exactly one array of
/// unsigned bytes with `rank` axes. The file is treated as hostile: nothing is allocated before the declared
/// size was compared with `max_bytes` and with the size of the file, and no more than that is ever unpacked.
/// Throws Error "read_idx: FILE: ..." with what was found and what was expected.
IdxArray read_idx(const std::filesystem::path& path, int rank, std::size_t max_bytes = std::size_t{1} << 30);

/// Writes an IDX file of shape.size() bytes, packed when its name ends in .gz. Throws Error when it cannot.
void write_idx(const std::filesystem::path& path, const Shape& shape, std::span<const std::uint8_t> bytes);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
