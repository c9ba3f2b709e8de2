#pragma once
// What a network is made of and what it costs, layer by layer, for one image.
#include <cstdint>
#include <string>
#include <vector>

#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// What is not quantized counts as 32 bits.
inline constexpr int kFloatBits = 32;

/// One call of a module. Its parameters, and the bytes that they take, belong to the first of several calls.
struct LayerSummary {
  std::string name, kind;  ///< dotted path; type
  Shape output;            ///< without the batch
  std::int64_t parameters = 0;
  int weight_bits = 0;                  ///< 0: the layer has no weights
  int input_bits = 0, output_bits = 0;  ///< of the activations that come in and go out
  /// What a deployed network has to keep: weights packed, their scales, biases, one factor and one offset for
  /// each channel of a batch normalisation, everything else as float.
  std::int64_t bytes = 0;
  std::int64_t macs =
      0;  ///< multiplications of a weight and an activation: convolutions and dense layers only
  /// Bit operations: macs * weight_bits * input_bits. Source: van Baalen et al., "Bayesian Bits" (NeurIPS
  /// 2020, arXiv 2005.07093). Baskin et al. (UNIQ, arXiv 1804.10969) add the accumulator's width, this does
  /// not.
  std::int64_t bops = 0;
};

struct Summary {
  std::vector<LayerSummary>
      layers;  ///< modules without children or with parameters, in the order of their calls
  std::int64_t parameters = 0, bytes = 0, macs = 0, bops = 0;  ///< of all layers
};

/// Of a network for images (H,W,C). Weights are as they are used at the moment: quantized ones where a
/// projection has left its codes in Parameter::used, and those of `rule`, whose projections need not have
/// codes: without them a weight is packed all the same, with a step and an offset. Activations count as
/// quantized behind an ActivationQuantizer, and behind what only picks among its values (max pooling,
/// Flatten, Dropout). Throws Error when the network does not take the image.
Summary summarize(nn::Module& net, const Shape& image, const WeightRule* rule = nullptr);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
