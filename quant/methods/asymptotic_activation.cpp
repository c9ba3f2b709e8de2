#include <atomic>
#include <cmath>

#include "core/base/check.h"
#include "core/in_range.h"
#include "core/kernels/kernels.h"
#include "core/map.h"
#include "quant/methods/asymptotic.h"
#include "quant/methods/power_coded.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Of the levels times alpha, with codes; there is none for NaN, which stays in values that are kept.
Tensor nearest_levels(const Tensor& x, const LevelSet& levels, int bits, int magnitudes, Real alpha) {
  const auto thresholds = levels.thresholds_of_size<Real>(static_cast<double>(alpha));
  Scratch<std::int8_t> codes(static_cast<std::size_t>(x.numel()));
  std::atomic<bool> any_nan = false;
  parallel_pieces(x.numel(), [&, in = x.data()](std::int64_t begin, std::int64_t end) {
    double sum;
    std::int64_t squares;
    real_kernels<Real>().projection.encode(end - begin, in + begin, static_cast<int>(thresholds.size()),
                                           thresholds.data(), codes.data() + begin, &sum, &squares);
    if (std::isnan(sum)) any_nan = true;
  });
  Tensor y = Tensor::deferred(x.shape(), std::make_shared<PowerCoded>(x.numel(), bits, magnitudes,
                                                                      std::move(codes), std::vector{alpha}));
  return any_nan ? zip(x, y, [](Real v, Real q) { return std::isnan(v) ? v : q; }) : y;
}

// y from f(piece of x, piece of y).
template <class F>
Tensor mapped(const Tensor& x, F f) {
  Tensor y = Tensor::uninitialized(x.shape());
  parallel_spans(x.numel(), x.data(), y.mutable_data(), f);
  return y;
}

}  // namespace

AsymptoticActivation::AsymptoticActivation(int bits, ThreeBits three_bits, double alpha,
                                           const SharpnessSchedule& schedule)
    : bits_(bits),
      magnitudes_(level_magnitudes(bits, three_bits)),
      levels_(level_set(bits, three_bits)),
      alpha_(static_cast<Real>(alpha)),
      schedule_(schedule) {
  check(is_positive(alpha), "asymptotic activation: given alpha = ", alpha, ", expected a positive number");
  schedule_.validate();
}

Var AsymptoticActivation::forward(const Var& x) {
  if (hard())
    return record("nearest_level", nearest_levels(x.value(), levels_, bits_, magnitudes_, alpha_), {x},
                  [](const Tensor& g) -> Gradients { return {Tensor(g.shape())}; });
  const AsymptoticMap smooth(levels_, schedule_.sharpness(share_) / levels_.least_step(),
                             static_cast<double>(alpha_));
  const Tensor y = mapped(x.value(), [&](auto in, auto out) { smooth.values<Real>(in, out); });
  return record("asymptotic", y, {x}, [smooth, in = x.value()](const Tensor& g) -> Gradients {
    Tensor d = mapped(in, [&](auto from, auto to) { smooth.slopes<Real>(from, to); });
    Real* slope = d.mutable_data();
    parallel_pieces(g.numel(), [&, dy = g.data()](std::int64_t begin, std::int64_t end) {
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
