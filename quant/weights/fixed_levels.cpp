#include "quant/weights/fixed_levels.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "quant/math/power_of_two.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {
constexpr int kMostSteps = 100;  // of Lloyd's alternation
}

void describe(OptionVisitor& v, FixedLevelsOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 3});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
  v.flag(option_text::per_channel(), o.per_channel);
  std::string scale = name_of(o.scale);
  v.choice({"scale", "", "where levels lie: fitted to the first weights, unscaled, or by the mean of |w|"}, scale,
           level_scale_names());
  o.scale = level_scale(scale);
  int powers = static_cast<int>(o.powers);
  v.integer({"powers", "1", "powers of two among the levels of 3 bits"}, powers, {2, 3});
  o.powers = static_cast<ThreeBits>(powers);
}

FixedLevels::FixedLevels(const FixedLevelsOptions& options)
    : PowerProjection("fixed_levels", {options.bits, options.per_channel},
                      level_magnitudes(options.bits, options.powers)),
      levels_(level_set(options.bits, options.powers)),
      scale_(options.scale),
      of_sign_(binary_thresholds<Real>(options.sign_of_zero)),
      reach_(register_buffer("reach", Tensor({0}))) {}

void FixedLevels::begin(const Tensor& w) {
  reach_ = Tensor({groups(w)}, scale_ == LevelScale::fitted ? 0 : 1);
  fit(w);
}

// Gives m to every group that has none yet and whose weights determine it.
void FixedLevels::fit(const Tensor& w) {
  if (w.numel() == 0 || std::ranges::count(reach_.view(), 0) == 0) return;
  const std::int64_t count = reach_.numel(), length = w.numel() / count;
  Scratch<std::int8_t> codes(static_cast<std::size_t>(w.numel()));
  Real* reach = reach_.mutable_data();
  parallel_for(count, [&](std::int64_t g) {
    const std::span<const Real> group(w.data() + g * length, static_cast<std::size_t>(length));
    if (reach[g] == 0) reach[g] = static_cast<Real>(fitted_reach(group, codes.data() + g * length));
  });
}

std::vector<Real> FixedLevels::reach(const Tensor& w) {
  if (reach_.numel() == groups(w))
    fit(w);
  else
    begin(w);
  std::vector<Real> reach(reach_.view().begin(), reach_.view().end());
  std::ranges::replace(reach, Real(0), Real(1));
  return reach;
}

Tensor FixedLevels::project(const Tensor& w) {
  reach(w);
  return PowerProjection::project(w);
}

std::vector<Real> FixedLevels::thresholds(double reach) const {
  return bits() == 1 ? of_sign_ : levels_.thresholds_of_size<Real>(reach > 0 ? reach : 1);
}

double FixedLevels::encode(std::span<const Real> w, std::int64_t group, std::int8_t* codes) {
  const double reach = static_cast<double>(reach_[group]);
  const PowerSums sums = write_powers<Real>(w, thresholds(reach), codes);
  if (!std::isfinite(sums.b)) return std::numeric_limits<double>::quiet_NaN();
  if (scale_ == LevelScale::unit || sums.a == 0) return reach;
  return scale_ == LevelScale::mean ? sums.b / sums.a : sums.b > 0 ? reach : 0;
}

double FixedLevels::fitted_reach(std::span<const Real> w, std::int8_t* codes) const {
  double reach = static_cast<double>(magnitude<Real>(w).max);
  for (int i = 0; i < kMostSteps && reach > 0 && std::isfinite(reach); ++i) {
    const PowerSums sums = write_powers<Real>(w, thresholds(reach), codes);
    const double next = sums.b / sums.a;
    if (next == reach) break;
    reach = next;
  }
  return reach > 0 && std::isfinite(reach) ? reach : 0;
}

std::unique_ptr<WeightProjection> fixed_levels(const FixedLevelsOptions& options) {
  return std::make_unique<FixedLevels>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
