#include "quant/weights/minmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/compute/stochastic.h"
#include "core/in_range.h"
#include "core/map.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class MinMaxProjection : public WeightProjection {
 public:
  explicit MinMaxProjection(const MinMaxWeightOptions& options) : grid_{options.bits, options.per_channel} {
    check_usage(options.bits >= 2 && options.bits <= 8, "minmax weights: given ", options.bits,
                " bits, expected 2 to 8");
  }
  std::string name() const override { return "minmax"; }
  int bits() const override { return grid_.bits; }

  // The codes of 8 bits do not fit into signed bytes unless 0 is in the middle: values alone.
  Tensor project(const Tensor& w) override {
    Tensor projected = Tensor::uninitialized(w.shape());
    const std::int64_t groups = grid_.groups(w);
    if (w.numel() == 0) return projected;
    const std::int64_t n = w.numel() / groups;
    const Real* from = w.data();
    Real* to = projected.mutable_data();
    for (std::int64_t g = 0; g < groups; ++g, from += n, to += n) project(n, from, to);
    return projected;
  }

 private:
  void project(std::int64_t n, const Real* w, Real* to) const {
    const Interval<Real> range = value_range<Real>(n, w);
    const double low = std::min(static_cast<double>(range.low), 0.0);
    const double high = std::max(static_cast<double>(range.high), 0.0);
    if (!std::isfinite(static_cast<double>(range.high)) || !std::isfinite(high - low))
      return void(std::fill_n(to, n, std::numeric_limits<Real>::quiet_NaN()));
    const ZeroPointGrid grid = zero_point_grid(low, high, (1 << grid_.bits) - 1);
    const double least = -grid.zero, most = grid.bins - grid.zero;
    parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const double k = grid.step > 0 ? std::nearbyint(static_cast<double>(w[i]) / grid.step) : 0;
        to[i] = to_finite(grid.step * std::clamp(k, least, most));  // the grid reaches beyond the weights
      }
    });
  }

  const WeightGrid grid_;
};

}  // namespace

ZeroPointGrid zero_point_grid(double low, double high, int bins) {
  check(low <= 0 && high >= 0 && std::isfinite(high - low) && bins >= 2, "zero point: given [", low, ", ", high,
        "] and ", bins, " bins, expected a finite range with 0 in it and 2 bins or more");
  if (low == high) return {0, 0, bins};
  const int place = static_cast<int>(-low * bins / (high - low));
  const int zero = std::clamp(place, low < 0 ? 1 : 0, high > 0 ? bins - 1 : bins);
  const double below = zero > 0 ? -low / zero : 0, above = zero < bins ? high / (bins - zero) : 0;
  return {std::max(below, above), zero, bins};
}

void describe(OptionVisitor& v, MinMaxWeightOptions& o) {
  v.integer(option_text::bits(), o.bits, {2, 8});
  v.flag(option_text::per_channel(), o.per_channel);
}

std::unique_ptr<WeightProjection> minmax_projection(const MinMaxWeightOptions& options) {
  return std::make_unique<MinMaxProjection>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
