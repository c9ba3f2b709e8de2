#include "quant/weights/learned_step.h"

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "core/compute/elementwise.h"
#include "core/map.h"
#include "quant/math/learned_step.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// The nearest integer, the even one of two, for |x| < 2^(digits - 2): what nearbyint does, in arithmetic that
// compilers vectorise for every processor.
Real nearest_integer(Real x) {
  constexpr Real kIntegersOnly = std::is_same_v<Real, float> ? Real(0x1.8p23) : Real(0x1.8p52);
  return (x + kIntegersOnly) - kIntegersOnly;
}

class LearnedStep : public WeightProjection {
 public:
  explicit LearnedStep(int bits)
      : step_(register_parameter("step", Tensor::scalar(0))), bits_(bits), q_n_(1 << (bits - 1)), q_p_(q_n_ - 1) {
    step_.bounds = Parameter::Bounds{Real(kLeastStep<Real>), Real(kMostStep<Real>)};
    step_.decay = false;
  }
  std::string name() const override { return "lsq"; }
  int bits() const override { return bits_; }

  void begin(const Tensor& w) override {
    const double n = static_cast<double>(std::max<std::int64_t>(w.numel(), 1));
    step_.value = Tensor::scalar(static_cast<Real>(step_at_start<Real>(magnitude<Real>(w.view()).sum / n, q_p_)));
  }

  Tensor project(const Tensor& w) override {
    if (w.numel() == 0) return w;
    if (!started()) begin(w);
    const bool finite = std::isfinite(magnitude<Real>(w.view()).sum);
    const auto coded =
        std::make_shared<Coded>(w.numel(), bits_, Coded::Sign::two_s_complement,
                                std::vector<Real>{finite ? scale().step : std::numeric_limits<Real>::quiet_NaN()});
    const Real* from = w.data();
    std::int8_t* const codes = coded->signed_codes();
    parallel_ranges(finite ? w.numel() : 0, kTaskElements, [&, scale = scale()](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) codes[i] = static_cast<std::int8_t>(scale.code(from[i]));
    });
    return Tensor::deferred(w.shape(), coded);
  }

  ProjectionGradient gradient(const Tensor& w, const Tensor& g) override {
    ProjectionGradient straight = WeightProjection::gradient(w, g);
    if (!started()) return straight;
    const Real *at = w.data(), *slope = g.data();
    const double sum = sum_in_pieces(
        w.numel(), [=, scale = scale()](std::int64_t i) { return slope[i] * scale.step_derivative(at[i]); });
    const Real own = static_cast<Real>(sum) * step_gradient_scale<Real>(w.numel(), q_p_);
    return {zip(g, w, [scale = scale()](Real dy, Real v) { return scale.inside(v) ? dy : Real(0); }),
            {Tensor::scalar(own)}};
  }

 private:
  struct Scale {
    Real step, lowest, highest;
    bool inside(Real v) const { return (v / step > lowest) & (v / step < highest); }
    Real code(Real v) const { return nearest_integer(std::clamp(v / step, lowest, highest)); }
    Real step_derivative(Real v) const { return code(v) - (inside(v) ? v / step : Real(0)); }
  };
  bool started() const { return step_.value.item() != 0; }
  // Weights that start no step are 0 or not finite: any step serves them.
  Scale scale() const {
    return {started() ? step_.value.item() : Real(1), static_cast<Real>(-q_n_), static_cast<Real>(q_p_)};
  }

  Parameter& step_;
  const int bits_, q_n_, q_p_;
};

}  // namespace

void describe(OptionVisitor& v, LearnedStepWeightOptions& o) { v.integer(option_text::bits(), o.bits, {2, 8}); }

std::unique_ptr<WeightProjection> learned_step_projection(const LearnedStepWeightOptions& o) {
  check_usage(o.bits >= 2 && o.bits <= 8, "lsq weights: given ", o.bits, " bits, expected 2 to 8");
  return std::make_unique<LearnedStep>(o.bits);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
