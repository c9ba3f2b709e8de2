#pragma once
// Quantized activations: a forward map onto a grid of levels, composed with the derivative of a surrogate
// (quant/math/surrogate.h) for the backward pass. Here they are known by name; networks take what comes out
// (nn::MakeActivation).
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/activation.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// An activation that puts its output on a grid, in evaluation mode always. forward: same shape in and out.
class ActivationQuantizer : public nn::Activation {
 public:
  virtual int bits() const = 0;
  Attributes attributes() const override { return {{"bits", bits()}}; }
};

/// What the methods understand; what does not apply to one is ignored.
struct ActivationOptions {
  int bits = 4;                ///< 1 to 8; of dorefa to 16
  std::string surrogate = {};  ///< its name; empty: the method's own
  double alpha = 0;  ///< resolution, step or clipping level (at the start, if trained); 0: the method's own
  double rate_factor = 0;  ///< of the learning rate of what is trained; 0: the method's own
  AlphaRule alpha_rule = AlphaRule::three_valued;  ///< trained: what stands for the derivative in alpha
  bool clamp_gradient = false;                     ///< trained: as in TrainedActivationOptions
  bool record_range = false;                       ///< trained: a ReLU that only records its range at first
};

/// The activation at every place of a network, by name; those shipped are
///   uniform  sigma(x, alpha), alpha fixed by the half-Gaussian rule (quant/activations/uniform.h); any surrogate, the
///            clipped ReLU by default
///   trained  the same with a trained alpha (quant/activations/trained.h); clipped ReLU
///   sign     -1 and +1 (quant/activations/sign.h); any surrogate, hard_tanh by default; 1 bit
///   dorefa, dorefa_abs, dorefa_tanh  quantize_k(h(x)) with h = clip, min(|x|, 1), (tanh + 1) / 2
///            (quant/activations/dorefa.h); dorefa takes any surrogate, the clipped ReLU by default
///   pact     clipping level alpha trained (quant/activations/pact.h); clipped ReLU
///   lsq      step trained (quant/activations/learned_step.h), `alpha` its start; clipped ReLU
///   minmax   a ReLU on the levels between 0 and its largest output in the batch (quant/activations/minmax.h);
///            ReLU
/// Throws UsageError for an unknown name, listing the known ones, for bits out of range and for a surrogate
/// that is not known or not the method's; Error for an alpha or a factor out of range.
nn::MakeActivation activation_quantizer(std::string_view name, const ActivationOptions& options = {});

using MakeActivationQuantizer = std::function<nn::MakeActivation(const ActivationOptions& options)>;
/// Makes an activation known by name. Throws UsageError if the name is empty or taken.
void register_activation(std::string name, MakeActivationQuantizer make);
/// Those shipped, then those registered, in that order.
std::vector<std::string> activation_names();

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
