#pragma once
// The header of a tensor file (experiments/support/tensor_file.h), which is checked before any value is read.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/shape.h"

namespace coarsegrad::experiments {

/// The largest header that is written or read. A checkpoint keeps its results and loss curve there; 200
/// tensors take 20 KB.
inline constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{32} << 20;

/// A tensor and the place of its values.
struct TensorEntry {
  std::string name;     ///< unique in the file
  Shape shape;          ///< extents, outermost first
  std::uint64_t begin,  ///< first byte of the values, from the end of the header
      end;              ///< byte behind the last one of the values, from the end of the header
};

/// What stands before the values.
struct TensorHeader {
  std::vector<TensorEntry> tensors;             ///< in the order of their values, without holes and overlaps
  std::map<std::string, std::string> metadata;  ///< entry "__metadata__" of the JSON
};

/// The one text of a header: JSON without white space, names in order. Throws Error for a name twice.
std::string header_text(const TensorHeader& header);

/// Reads the header of a file with `value_bytes` bytes behind it. Takes memory of the order of the text. Throws Error,
/// in words that continue the name of the file, for malformed JSON, another dtype than F32, a name or key twice, shapes
/// and offsets that are no whole numbers or do not fit each other or the file, and values with holes or overlaps.
TensorHeader parse_header(std::string_view text, std::uint64_t value_bytes);

}  // namespace coarsegrad::experiments
