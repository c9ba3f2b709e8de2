#pragma once
// What a network is made of and what it costs, layer by layer, as its graph has it (nn/graph.h).
#include <cstdint>
#include <string>
#include <vector>

#include "nn/graph.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// What is not quantized counts as 32 bits.
inline constexpr int kFloatBits = 32;

/// One call of a module, with the ops that it carries out itself; or one op with parameters that a module
/// carries out between its submodules. Parameters, and the bytes that they take, belong to the first row that
/// has them.
struct LayerSummary {
  /// Dotted path of the module.
  std::string name, kind;       ///< type of the module, or name of the op
  Shape output;                 ///< without the batch
  int uses = 1;                 ///< how often the module is called, each time with a row
  std::int64_t parameters = 0;  ///< elements of all of them
  int weight_bits = 0;          ///< 0: the layer has no weights; the most, where it has several
  /// Bits of the activations that come in; the most, where there are several.
  int input_bits = 0, output_bits = 0;  ///< bits of the activations that go out
  /// What a deployed network has to keep: weights packed, their scales, biases, one factor and one offset for
  /// each channel of a batch normalisation, everything else as float.
  std::int64_t bytes = 0;
  /// Multiplications of a weight and an activation: convolutions, dense layers, products of matrices of which
  /// one is a parameter.
  std::int64_t macs = 0;
  /// Bit operations: macs * weight_bits * input_bits. Source: van Baalen et al., "Bayesian Bits" (NeurIPS
  /// 2020, arXiv 2005.07093). Baskin et al. (UNIQ, arXiv 1804.10969) add the accumulator's width, this does not.
  std::int64_t bops = 0;
};

/// A network layer by layer, and the sums.
struct Summary {
  /// In the order of execution: calls of modules without children or with parameters of their own, and the ops with
  /// parameters between them.
  std::vector<LayerSummary> layers;
  std::int64_t parameters = 0,  ///< of all layers, each once
      bytes = 0,                ///< of all layers, as deployed
      macs = 0,                 ///< of all layers, for one input
      bops = 0;                 ///< bit operations of all layers, for one input
};

/// The summary of a network for inputs of the shapes that its graph was traced with. A weight counts as quantized where
/// a projection has left its codes in Parameter::effective, and where it is one of `rule`, even if its projection has
/// no codes: it is then packed with a step and an offset.
/// Activations count as quantized behind an op or a module that says its "bits" (an ActivationQuantizer does),
/// and behind what only picks among values: max pooling, reshaping, slices, subsampling, concatenation. Throws
/// Error for the graph of another network.
Summary summarize(nn::Module& net, const nn::Graph& graph, const WeightRule* rule = nullptr);
/// The summary for one image (H, W, C). Throws Error when the network does not take it.
Summary summarize(nn::Module& net, const Shape& image, const WeightRule* rule = nullptr);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
