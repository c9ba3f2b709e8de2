#include "experiments/studies/weight_snapshot.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace coarsegrad::experiments {
namespace {

double squared_norm(std::span<const Real> values) {
  double sum = 0;
  for (const Real v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

// All in the middle bin when the root mean square is 0.
std::array<double, WeightSnapshot::kBins> shares(std::span<const Real> values, double rms) {
  std::array<double, WeightSnapshot::kBins> share{};
  constexpr double middle = WeightSnapshot::kMiddle;
  for (const Real v : values) {
    const double bins = rms > 0 ? static_cast<double>(v) / rms / 0.1 : 0;
    const double bin = std::clamp(std::round(bins) + middle, 0.0, 2 * middle);
    share[static_cast<std::size_t>(bin)] += 1;
  }
  for (double& s : share) s /= static_cast<double>(values.size());
  return share;
}

}  // namespace

WeightSnapshot snapshot_of(const Tensor& value, const Tensor& used, const Tensor& start) {
  check(value.shape() == used.shape() && value.shape() == start.shape() && value.numel() > 0,
        "weight snapshot: given shapes ", value.shape(), ", ", used.shape(), " and ", start.shape(),
        ", expected the same, not empty");
  WeightSnapshot s;
  const auto n = static_cast<double>(value.numel());
  const std::span<const Real> w = value.view(), x = used.view(), first = start.view();
  const double of_w = squared_norm(w), of_x = squared_norm(x);
  s.float_rms = std::sqrt(of_w / n);
  s.used_rms = std::sqrt(of_x / n);
  double product = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    product += static_cast<double>(w[i]) * static_cast<double>(x[i]);
    s.flips += (w[i] < 0) != (first[i] < 0) ? 1 : 0;
  }
  s.flips /= n;
  s.distance = of_w > 0 && of_x > 0 ? std::max(0.0, 1 - product * product / of_w / of_x) : 0;
  s.float_share = shares(w, s.float_rms);
  s.used_share = shares(x, s.used_rms);
  return s;
}

}  // namespace coarsegrad::experiments
