#include "quant/activations/pact.h"

#include <cmath>

#include "core/base/check.h"
#include "quant/activations/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

PactActivation::PactActivation(const PactOptions& o)
    : alpha(register_parameter("alpha", Tensor::scalar(static_cast<Real>(o.alpha)))), bits_(o.bits) {
  highest_level(o.bits);
  check(o.alpha >= kLeastAlpha && o.alpha <= kMostAlpha && o.rate_factor >= 0 && std::isfinite(o.rate_factor),
        "pact activation: given alpha = ", o.alpha, " and a rate factor of ", o.rate_factor, ", expected ", kLeastAlpha,
        " to ", kMostAlpha, " and one >= 0");
  alpha.bounds = Parameter::Bounds{Real(kLeastAlpha), Real(kMostAlpha)};
  alpha.rate_factor = o.rate_factor;
}

void describe(OptionVisitor& v, PactOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 8});
  v.number({"alpha", "1", "clipping level at the start"}, o.alpha,
           {PactActivation::kLeastAlpha, PactActivation::kMostAlpha});
  v.number(option_text::rate_factor(), o.rate_factor, {0, 100});
}

ActivationMap PactActivation::map() const {
  const int levels = highest_level(bits_);
  return onto_trained_grid({alpha.value.item(), levels, kernels::Rounding::nearest, static_cast<Real>(levels)}, bits_,
                           alpha.var(), [levels](const Tensor& g, const KeptActivation& kept) {
                             const double above = quantize_alpha_gradient<Real>(
                                 g.numel(), kept.coded->codes(), kept.mask->data(), g.data(), levels, AlphaRule::pact);
                             return Tensor::scalar(static_cast<Real>(above / levels));
                           });
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
