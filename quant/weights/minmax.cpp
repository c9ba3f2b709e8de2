#include "quant/weights/minmax.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/compute/stochastic.h"
#include "core/in_range.h"
#include "core/leveled.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Weights as the numbers of their levels, each group on its own grid. The codes of 8 bits do not fit into signed bytes
// unless 0 is in the middle, so the forward pass reads the elements.
class ZeroPointCodes : public Leveled {
 public:
  ZeroPointCodes(std::int64_t group, std::vector<ZeroPointGrid> grids)
      : group_(group), grids_(std::move(grids)), codes_(static_cast<std::size_t>(group) * grids_.size()) {}

  void read(std::int64_t begin, std::int64_t end, Real* out) const override {
    for (std::int64_t i = begin; i < end; ++i) {
      const ZeroPointGrid& grid = grids_[static_cast<std::size_t>(i / group_)];
      out[i - begin] = to_finite(grid.step * (codes_.data()[i] - grid.zero));  // the grid reaches beyond the weights
    }
  }
  LeveledCodes leveled() const override {
    LeveledCodes all{codes_.data(), false, {}};
    for (const ZeroPointGrid& grid : grids_) all.levels.push_back({grid.step, grid.zero, 0});
    return all;
  }

  /// Takes the levels nearest to the weights of a group.
  void encode(std::int64_t number, const Real* w) {
    const ZeroPointGrid& grid = grids_[static_cast<std::size_t>(number)];
    std::uint8_t* const to = codes_.data() + number * group_;
    const double least = -grid.zero, most = grid.bins - grid.zero;
    parallel_ranges(group_, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const double k = grid.step > 0 ? std::nearbyint(static_cast<double>(w[i]) / grid.step) : 0;
        to[i] = static_cast<std::uint8_t>(std::clamp(k, least, most) + grid.zero);
      }
    });
  }

 private:
  std::int64_t group_;
  std::vector<ZeroPointGrid> grids_;
  Scratch<std::uint8_t> codes_;
};

class MinMaxProjection : public WeightProjection {
 public:
  explicit MinMaxProjection(const MinMaxWeightOptions& options) : grid_{options.bits, options.per_channel} {
    check_usage(options.bits >= 2 && options.bits <= 8, "minmax weights: given ", options.bits,
                " bits, expected 2 to 8");
  }
  std::string name() const override { return "minmax"; }
  int bits() const override { return grid_.bits; }

  Tensor project(const Tensor& w) override {
    if (w.numel() == 0) return w;
    const std::int64_t groups = grid_.groups(w), n = w.numel() / groups;
    std::vector<ZeroPointGrid> grids;
    std::vector<bool> finite;
    for (std::int64_t g = 0; g < groups; ++g) {
      const Interval<Real> range = value_range<Real>(n, w.data() + g * n);
      const double low = std::min(static_cast<double>(range.low), 0.0);
      const double high = std::max(static_cast<double>(range.high), 0.0);
      finite.push_back(std::isfinite(static_cast<double>(range.high)) && std::isfinite(high - low));
      grids.push_back(finite.back() ? zero_point_grid(low, high, (1 << grid_.bits) - 1) : ZeroPointGrid{0, 0, 0});
    }
    const auto codes = std::make_shared<ZeroPointCodes>(n, std::move(grids));
    for (std::int64_t g = 0; g < groups; ++g)
      if (finite[static_cast<std::size_t>(g)]) codes->encode(g, w.data() + g * n);
    if (std::ranges::all_of(finite, std::identity())) return Tensor::deferred(w.shape(), codes);
    Tensor values = Tensor::uninitialized(w.shape());
    Real* const to = values.mutable_data();
    for (std::int64_t g = 0; g < groups; ++g)
      if (finite[static_cast<std::size_t>(g)])
        codes->read(g * n, (g + 1) * n, to + g * n);
      else
        std::fill_n(to + g * n, n, std::numeric_limits<Real>::quiet_NaN());
    return values;
  }

 private:
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
