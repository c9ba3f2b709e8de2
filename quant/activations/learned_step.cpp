#include "quant/activations/learned_step.h"

#include <numbers>

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "quant/activations/option_text.h"
#include "quant/math/learned_step.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

LearnedStepActivation::LearnedStepActivation(const LearnedStepOptions& o)
    : step(register_parameter("step", Tensor::scalar(static_cast<Real>(o.step)))), bits_(o.bits) {
  highest_level(o.bits);
  check((o.step == 0 || (o.step >= kLeastStep<Real> && o.step <= kMostStep<Real>)) && o.rate_factor >= 0 &&
            std::isfinite(o.rate_factor),
        "lsq activation: given a step of ", o.step, " and a rate factor of ", o.rate_factor, ", expected 0 or ",
        kLeastStep<Real>, " to ", kMostStep<Real>, " and one >= 0");
  step.bounds = Parameter::Bounds{Real(kLeastStep<Real>), Real(kMostStep<Real>)};
  step.decay = false;
  step.rate_factor = o.rate_factor;
}

void describe(OptionVisitor& v, LearnedStepOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 8});
  v.number({"step", "1", "step of the grid at the start; 0: from the first batch"}, o.step,
           {0, static_cast<double>(kMostStep<Real>)});
  v.number(option_text::rate_factor(), o.rate_factor, {0, 100});
}

ActivationMap LearnedStepActivation::map() const {
  const int levels = highest_level(bits_);
  const double gaussian = 1 / std::sqrt(2 * std::numbers::pi);  // E max(x, 0)
  const bool started = step.value.item() != 0;
  const Real s = started ? step.value.item() : static_cast<Real>(step_at_start<Real>(gaussian, levels));
  const kernels::Quantizer<Real> quantizer{s, levels, kernels::Rounding::nearest};
  return onto_trained_grid(
      quantizer, bits_, started ? step.var() : Var(),
      [quantizer](const Tensor& g, const KeptActivation& kept) {
        const double sum =
            quantize_step_gradient<Real>(g.numel(), kept.x.data(), kept.coded->codes(), g.data(), quantizer);
        const std::int64_t images = g.shape().rank() > 0 ? std::max<std::int64_t>(g.size(0), 1) : 1;
        return Tensor::scalar(static_cast<Real>(sum) * step_gradient_scale<Real>(g.numel() / images, quantizer.levels));
      },
      true);
}

Var LearnedStepActivation::forward(const Var& x) {
  if (starts() && x.numel() > 0) {
    const Real* at = x.value().data();
    const double sum = sum_in_pieces(x.numel(), [at](std::int64_t i) { return at[i] < 0 ? Real(0) : at[i]; });
    step.value = Tensor::scalar(
        static_cast<Real>(step_at_start<Real>(sum / static_cast<double>(x.numel()), highest_level(bits_))));
  }
  return GridActivation::forward(x);
}
}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
