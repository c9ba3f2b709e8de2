#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include "core/base/check.h"
#include "core/map.h"
#include "quant/asymptotic.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Levels as multiples of the least power of two among them.
constexpr std::size_t kMostLevels = 7;

// Nearest levels by number, so that a midpoint goes away from 0: those below 0 must be exceeded.
class Nearest {
 public:
  explicit Nearest(const LevelSet& levels, Real alpha) : count_(levels.thresholds().size()) {
    unit_ = 1;
    for (const double q : levels.levels())
      if (q != 0) unit_ = std::min(unit_, std::abs(q));
    for (std::size_t i = 0; i < count_; ++i) {
      thresholds_[i] = static_cast<Real>(levels.thresholds()[i]) * alpha;
      if (thresholds_[i] < 0) thresholds_[i] = std::nextafter(thresholds_[i], Real(0));
    }
    for (std::size_t i = 0; i <= count_; ++i)
      codes_[i] = static_cast<std::int8_t>(std::lround(levels.levels()[i] / unit_));
  }

  /// Of the codes, in units of alpha.
  double unit() const { return unit_; }
  std::int8_t code(Real x) const {
    std::size_t index = 0;
    for (std::size_t i = 0; i < count_; ++i) index += x >= thresholds_[i];
    return codes_[index];
  }

 private:
  std::size_t count_;
  double unit_;
  std::array<Real, kMostLevels> thresholds_{};
  std::array<std::int8_t, kMostLevels> codes_{};
};

// A tensor with codes; there is none for NaN, which stays in values that are kept.
Tensor nearest_levels(const Tensor& x, const LevelSet& levels, int bits, Real alpha) {
  const Nearest nearest(levels, alpha);
  const Real unit = alpha * static_cast<Real>(nearest.unit());
  const auto coded =
      std::make_shared<Coded>(x.size(), bits, Coded::Sign::two_s_complement, std::vector<Real>{unit});
  const Real* in = x.data();
  std::int8_t* codes = coded->signed_codes();
  std::atomic<bool> any_nan = false;
  parallel_pieces(x.size(), [&](std::int64_t begin, std::int64_t end) {
    bool nan = false;
    for (std::int64_t i = begin; i < end; ++i) {
      codes[i] = nearest.code(in[i]);
      nan |= std::isnan(in[i]);
    }
    if (nan) any_nan = true;
  });
  if (!any_nan) return Tensor::deferred(x.shape(), coded);
  return map(x, [=](Real v) { return std::isnan(v) ? v : unit * static_cast<Real>(nearest.code(v)); });
}

// y from f(piece of x, piece of y).
template <class F>
Tensor mapped(const Tensor& x, F f) {
  Tensor y = Tensor::uninitialized(x.shape());
  parallel_spans(x.size(), x.data(), y.mutable_data(), f);
  return y;
}

}  // namespace

AsymptoticActivation::AsymptoticActivation(int bits, ThreeBits three_bits, double alpha,
                                           const SharpnessSchedule& schedule)
    : bits_(bits),
      levels_(level_set(bits, three_bits)),
      alpha_(static_cast<Real>(alpha)),
      schedule_(schedule) {
  check(std::isfinite(alpha) && alpha > 0, "asymptotic activation: given alpha = ", alpha,
        ", expected a positive number");
  schedule_.validate();
}

Var AsymptoticActivation::forward(const Var& x) {
  if (hard())
    return record("nearest_level", nearest_levels(x.value(), levels_, bits_, alpha_), {x},
                  [](const Tensor& g) -> Gradients { return {Tensor(g.shape())}; });
  const AsymptoticMap smooth(levels_, schedule_.sharpness(share_) / levels_.least_step(),
                             static_cast<double>(alpha_));
  const Tensor y = mapped(x.value(), [&](auto in, auto out) { smooth.values<Real>(in, out); });
  return record("asymptotic", y, {x}, [smooth, in = x.value()](const Tensor& g) -> Gradients {
    Tensor d = mapped(in, [&](auto from, auto to) { smooth.slopes<Real>(from, to); });
    Real* slope = d.mutable_data();
    parallel_pieces(g.size(), [&, dy = g.data()](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) slope[i] *= dy[i];
    });
    return {d};
  });
}

nn::MakeActivation asymptotic_activation(const ActivationOptions& o) {
  check_usage(o.surrogate.empty(), "asymptotic activation: given the surrogate ", o.surrogate,
              ", expected none: its derivative is its own");
  SharpnessSchedule schedule;
  if (o.sharpness != 0) schedule.last = o.sharpness;
  schedule.hard_from = o.hard_from;
  return [o, schedule](const std::string&) {
    return std::make_unique<AsymptoticActivation>(o.bits, o.three_bits, o.alpha == 0 ? 1 : o.alpha, schedule);
  };
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
