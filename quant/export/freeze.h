#pragma once
// From a trained network to a packed model.
#include "nn/module.h"
#include "quant/packed/model.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The network as it is deployed, for samples of shape `input` (an image: (H, W, C)): its graph (nn/graph.h) with the
/// deployed weights, packed. Nodes are called as their modules are; "NAME.OP" where an op is one of several in a
/// module, with "#2" behind it at the second place, and so on. packed::Runtime computes with it what the network
/// computes within an EvaluationScope, bit for bit with the same kernel table. The network is left as it was; null:
/// float weights. `pixel_scale`: images are pixel codes, multiples of it (datasets/pixel_codes.h); 0: floats. Throws
/// Error, naming op and module, for what a packed model cannot hold: other ops, a grid of more than 8 bits or that
/// follows the batch (minmax), weights that are no parameters, numbers that are not finite.
packed::Model freeze(nn::Module& net, const Shape& input, WeightRule* rule = nullptr, Real pixel_scale = 0);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
