#include "quant/methods/learned_step.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "core/map.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// 0, which is none, from a mean that says nothing.
double step_at_start(double mean_size, int q_p) {
  if (!std::isfinite(mean_size) || mean_size < kLeastStep) return 0;
  return std::clamp(2 * mean_size / std::sqrt(q_p), kLeastStep, kMostStep);
}

Real gradient_scale(std::int64_t elements, int q_p) {
  return static_cast<Real>(1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(elements, 1)) * q_p));
}

// The nearest integer, the even one of two, for |x| < 2^(digits - 2): what nearbyint does, in arithmetic that
// compilers vectorise for every processor.
Real nearest_integer(Real x) {
  constexpr Real kIntegersOnly = std::is_same_v<Real, float> ? Real(0x1.8p23) : Real(0x1.8p52);
  return (x + kIntegersOnly) - kIntegersOnly;
}

class LearnedStep : public WeightProjection {
 public:
  explicit LearnedStep(int bits)
      : step_(register_parameter("step", Tensor::scalar(0))),
        bits_(bits),
        q_n_(1 << (bits - 1)),
        q_p_(q_n_ - 1) {
    step_.bounds = Parameter::Bounds{Real(kLeastStep), Real(kMostStep)};
    step_.decay = false;
  }
  std::string name() const override { return "lsq"; }
  int bits() const override { return bits_; }

  void begin(const Tensor& w) override {
    const double n = static_cast<double>(std::max<std::int64_t>(w.numel(), 1));
    step_.value = Tensor::scalar(static_cast<Real>(step_at_start(magnitude<Real>(w.view()).sum / n, q_p_)));
  }

  Tensor project(const Tensor& w) override {
    if (w.numel() == 0) return w;
    if (!started()) begin(w);
    const bool finite = std::isfinite(magnitude<Real>(w.view()).sum);
    const auto coded = std::make_shared<Coded>(
        w.numel(), bits_, Coded::Sign::two_s_complement,
        std::vector<Real>{finite ? grid().step : std::numeric_limits<Real>::quiet_NaN()});
    const Real* from = w.data();
    std::int8_t* const codes = coded->signed_codes();
    parallel_pieces(finite ? w.numel() : 0, [&, grid = grid()](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) codes[i] = static_cast<std::int8_t>(grid.code(from[i]));
    });
    return Tensor::deferred(w.shape(), coded);
  }

  Tensor gradient(const Tensor& w, const Tensor& g) override {
    const Tensor straight = WeightProjection::gradient(w, g);
    if (!started()) return straight;
    const Real *at = w.data(), *slope = straight.data();
    const double sum = sum_in_pieces(
        w.numel(), [=, grid = grid()](std::int64_t i) { return slope[i] * grid.step_derivative(at[i]); });
    const Real own = static_cast<Real>(sum) * gradient_scale(w.numel(), q_p_);
    step_.set_grad(Tensor::scalar(step_.grad().defined() ? step_.grad().item() + own : own));
    return zip(g, w, [grid = grid()](Real dy, Real v) { return grid.inside(v) ? dy : Real(0); });
  }

 private:
  struct Grid {
    Real step, lowest, highest;
    bool inside(Real v) const { return (v / step > lowest) & (v / step < highest); }
    Real code(Real v) const { return nearest_integer(std::clamp(v / step, lowest, highest)); }
    Real step_derivative(Real v) const { return code(v) - (inside(v) ? v / step : Real(0)); }
  };
  bool started() const { return step_.value.item() != 0; }
  // Weights that start no step are 0 or not finite: any step serves them.
  Grid grid() const {
    return {started() ? step_.value.item() : Real(1), static_cast<Real>(-q_n_), static_cast<Real>(q_p_)};
  }

  Parameter& step_;
  const int bits_, q_n_, q_p_;
};

}  // namespace

std::unique_ptr<WeightProjection> learned_step_projection(const ProjectionOptions& o) {
  check_usage(o.bits >= 2 && o.bits <= 8, "lsq weights: given ", o.bits, " bits, expected 2 to 8");
  check_usage(!o.per_channel, "lsq weights: given a step per channel, expected one for the layer");
  return std::make_unique<LearnedStep>(o.bits);
}

LearnedStepActivation::LearnedStepActivation(const LearnedStepOptions& o)
    : step(register_parameter("step", Tensor::scalar(static_cast<Real>(o.step)))), bits_(o.bits) {
  highest_level(o.bits);
  check((o.step == 0 || (o.step >= kLeastStep && o.step <= kMostStep)) && o.rate_factor >= 0 &&
            std::isfinite(o.rate_factor),
        "lsq activation: given a step of ", o.step, " and a rate factor of ", o.rate_factor,
        ", expected 0 or ", kLeastStep, " to ", kMostStep, " and one >= 0");
  step.bounds = Parameter::Bounds{Real(kLeastStep), Real(kMostStep)};
  step.decay = false;
  step.rate_factor = o.rate_factor;
}

GridMap LearnedStepActivation::map() const {
  const int levels = highest_level(bits_);
  const double gaussian = 1 / std::sqrt(2 * std::numbers::pi);  // E max(x, 0)
  const bool started = step.value.item() != 0;
  const Real s = started ? step.value.item() : static_cast<Real>(step_at_start(gaussian, levels));
  return {{s, levels, kernels::Rounding::nearest},
          bits_,
          &surrogate("clipped_relu"),
          started ? step.var() : Var(),
          [s, levels](const Tensor& g, const ActivationCodes& out, const Tensor& x) {
            const double sum = quantize_step_gradient<Real>(g.numel(), x.data(), out.coded->codes(), g.data(),
                                                            {s, levels, kernels::Rounding::nearest});
            const std::int64_t images = g.shape().rank() > 0 ? std::max<std::int64_t>(g.size(0), 1) : 1;
            return Tensor::scalar(static_cast<Real>(sum) * gradient_scale(g.numel() / images, levels));
          },
          true};
}

Var LearnedStepActivation::forward(const Var& x) {
  if (starts() && x.numel() > 0) {
    const Real* at = x.value().data();
    const double sum = sum_in_pieces(x.numel(), [at](std::int64_t i) { return at[i] < 0 ? Real(0) : at[i]; });
    step.value = Tensor::scalar(
        static_cast<Real>(step_at_start(sum / static_cast<double>(x.numel()), highest_level(bits_))));
  }
  return GridActivation::forward(x);
}

Var LearnedStepActivation::after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) {
  return starts() ? in_passes(norm, x, shortcut) : GridActivation::after_norm(norm, x, shortcut);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
