#include "quant/methods/fixed_levels.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "quant/math/power_of_two.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {
constexpr int kMostSteps = 100;  // of the alternation
}

FixedLevels::FixedLevels(const ProjectionOptions& options)
    : PowerProjection("fixed_levels", options, level_magnitudes(options.bits, options.three_bits)),
      levels_(level_set(options.bits, options.three_bits)),
      scale_(options.level_scale),
      reach_(register_buffer("reach", Tensor({0}))) {}

void FixedLevels::begin(const Tensor& w) {
  const std::int64_t count = groups(w), length = w.numel() / std::max<std::int64_t>(count, 1);
  reach_ = Tensor({count}, 1);
  if (scale_ != LevelScale::fitted || w.numel() == 0) return;
  Scratch<std::int8_t> codes(static_cast<std::size_t>(w.numel()));
  Real* reach = reach_.mutable_data();
  parallel_for(count, [&](std::int64_t g) {
    const std::span<const Real> group(w.data() + g * length, static_cast<std::size_t>(length));
    reach[g] = static_cast<Real>(fitted_reach(group, codes.data() + g * length));
  });
}

std::span<const Real> FixedLevels::reach(const Tensor& w) {
  if (reach_.numel() != groups(w)) begin(w);
  return reach_.view();
}

Tensor FixedLevels::project(const Tensor& w) {
  reach(w);
  return PowerProjection::project(w);
}

double FixedLevels::encode(std::span<const Real> w, std::int64_t group, std::int8_t* codes) {
  const double reach = static_cast<double>(reach_[group]);
  const PowerSums sums = write_powers<Real>(w, levels_.thresholds_of_size<Real>(reach), codes);
  if (!std::isfinite(sums.b)) return std::numeric_limits<double>::quiet_NaN();
  return scale_ != LevelScale::mean ? reach : sums.a > 0 ? sums.b / sums.a : 1;
}

double FixedLevels::fitted_reach(std::span<const Real> w, std::int8_t* codes) const {
  double reach = static_cast<double>(magnitude<Real>(w).max);
  for (int i = 0; i < kMostSteps && reach > 0 && std::isfinite(reach); ++i) {
    const PowerSums sums = write_powers<Real>(w, levels_.thresholds_of_size<Real>(reach), codes);
    const double next = sums.b / sums.a;
    if (next == reach) break;
    reach = next;
  }
  return reach > 0 && std::isfinite(reach) ? reach : 1;
}

std::unique_ptr<WeightProjection> fixed_levels(const ProjectionOptions& options) {
  return std::make_unique<FixedLevels>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
