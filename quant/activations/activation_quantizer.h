#pragma once
// Quantized activations: a forward map onto a grid of levels, composed with the derivative of a surrogate
// (quant/math/surrogate.h) for the backward pass. Here they are known by name; networks take what comes out
// (nn::MakeActivation).
#include "core/base/part_registry.h"
#include "nn/activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// An activation that puts its output on a grid, in evaluation mode always. forward: same shape in and out.
class ActivationQuantizer : public nn::Activation {
 public:
  /// Bits of a code: there are at most 2^bits levels.
  virtual int bits() const = 0;
  /// "bits".
  Attributes attributes() const override { return {{"bits", bits()}}; }
};

/// The activations by name, each made at every place of a network; those shipped are
///   relu, hard_tanh  float
///   uniform  sigma(x, alpha) with a fixed alpha, that of half-Gaussian input unless another is given
///            (quant/activations/uniform.h); any surrogate
///   trained  sigma(x, alpha) with a trained alpha (quant/activations/trained.h); clipped ReLU
///   sign     -1 and +1 (quant/activations/sign.h); any surrogate; 1 bit
///   dorefa, dorefa_abs, dorefa_tanh  quantize_k(h(x)) with h = clip, min(|x|, 1), (tanh + 1) / 2
///            (quant/activations/dorefa.h); dorefa takes any surrogate
///   clipped_relu  float, with an end (quant/activations/clipped_relu.h)
///   pact     a trained clipping level alpha (quant/activations/pact.h); clipped ReLU
///   lsq      a trained step (quant/activations/learned_step.h); clipped ReLU
///   minmax   a ReLU on the levels between 0 and its largest output in the batch (quant/activations/minmax.h);
///            ReLU
///   mix      a h(c) + (1 - a) c in training, h(c) in evaluation, with c = hard_tanh of the input, h onto fixed levels
///            and a that rises (quant/activations/mix.h); 1 to 3 bits
/// A program adds its own.
PartRegistry<nn::MakeActivation>& activations();
/// An activation of activations(). Throws UsageError for an unknown name, listing the known ones, and for options out
/// of range, which are reported here and not at the first place; Error for an alpha or a factor out of range.
nn::MakeActivation make_activation(const Part& part);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
