#pragma once
// The nodes of a packed model as text, one line for each:
//   OPERATION NAME [from=NAME,NAME] KEY=VALUE ...
//   conv2d stages.stage1_block1.conv1 weight=16,3,3,16 scale=0.031 padding=1
// Without `from`, and where a name is left out in it, a node reads the one before it: `add sum from=,act`. Extents are
// two numbers, or one for both axes; what has its default is left out. A weight says its shape, and, where it is
// packed, `codes` (a codebook; signs where nothing is said), `bits` (1), `magnitudes` of powers and `scale`, where it
// has one. Numbers of which there are many are tensors beside the text, called NAME (of a weight the packed bytes, or
// floats where `codes=floats`; of a norm three rows, mean, factor and shift, or two), NAME.bias, NAME.scale (one for
// each channel) and NAME.table.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quant/packed/model.h"

namespace coarsegrad::packed {

/// An array of a file: bytes, or floats.
struct Array {
  Shape shape = {};                      ///< of bytes: (count)
  std::vector<std::uint8_t> bytes = {};  ///< empty for floats
  std::vector<float> floats = {};        ///< empty for bytes
};
/// Arrays by name.
using Arrays = std::map<std::string, Array>;

/// The nodes as text; `arrays` takes what the text does not hold. The model is sound (check_model()).
std::string graph_text(const Model& model, Arrays& arrays);

/// The nodes of a text; what is found in `arrays` is taken out of it. Throws Error, naming the line, for text that
/// graph_text() does not write: unknown operations, keys and codebooks, keys and names twice, numbers that are none,
/// inputs that are no earlier node, arrays that are missing or of another kind.
std::vector<Node> parse_graph(std::string_view text, Arrays& arrays);

}  // namespace coarsegrad::packed
