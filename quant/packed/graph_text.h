#pragma once
// The nodes of a packed model as text, one line for each:
//   OPERATION NAME [from=NAME,NAME] KEY=VALUE ...
//   conv2d stages.stage1_block1.conv1 weight=16,3,3,16 scale=0.031 padding=1
//   norm .norm1 channels=16
// A name that begins with a dot goes on from the name of the line before, in place of what stands behind the last dot
// there: .norm1 is stages.stage1_block1.norm1. Without `from`, and where a name is left out in it, a node reads the one
// before it: `add .sum from=,.act`, where .act goes on from the name of its own line. Extents are two numbers, or one
// for both axes; what has its default is left out.
//   A weight says its shape, and, where it is packed, `codes` (a codebook; signs where nothing is said), `bits` (1),
// `magnitudes` of powers and `scale`, where it has one. Numbers of which there are many are arrays beside the text,
// called NAME (packed weights as bytes, or floats where `codes=floats`), NAME.bias, NAME.scale (one for each channel)
// and NAME.table. The floats of all normalisations are one array, "norms", in which those of a line with C `channels`
// come behind those of the lines above: C of mean, C of factor and, unless `rows=2`, C of shift.
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "quant/packed/model.h"

namespace coarsegrad::packed {

/// An array of a file: bytes, or floats.
using Array = std::variant<std::vector<std::uint8_t>, std::vector<float>>;
/// Arrays by name.
using Arrays = std::map<std::string, Array>;

/// The nodes as text; `arrays` takes what the text does not hold, none of them empty. The model is sound
/// (check_model()). Throws Error where two nodes want an array of the same name.
std::string graph_text(const Model& model, Arrays& arrays);

/// The nodes of a text; what is found in `arrays` is taken out of it. Takes memory of the order of text and arrays.
/// Throws Error, naming the line, for text that is none: unknown operations, keys and codebooks, keys and names twice,
/// numbers that are none, inputs that are no earlier node, arrays that are missing, of another kind or too short.
std::vector<Node> parse_graph(std::string_view text, Arrays& arrays);

}  // namespace coarsegrad::packed
