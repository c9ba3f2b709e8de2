#include "quant/math/asymptotic_map.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

constexpr std::size_t kBlock = 1024;  // small enough for the first-level cache

// y = start + sum over the steps of weigh(height, tanh(factor (x - threshold))), a block at a time; heights
// and thresholds are those of the levels times `reach`.
template <class T, class Weigh>
void sum_steps(const LevelSet& levels, double reach, double factor, double start, std::span<const T> x,
               std::span<T> y, Weigh weigh) {
  check(x.size() == y.size(), "asymptotic map: given ", x.size(), " inputs and ", y.size(),
        " outputs, expected as many");
  T steps[kBlock], sum[kBlock];
  for (std::size_t begin = 0; begin < x.size(); begin += kBlock) {
    const std::size_t n = std::min(kBlock, x.size() - begin);
    std::fill_n(sum, n, static_cast<T>(start));
    for (std::size_t i = 0; i < levels.thresholds().size(); ++i) {
      const T slope = static_cast<T>(factor), threshold = static_cast<T>(levels.thresholds()[i] * reach);
      const T height = static_cast<T>((levels.levels()[i + 1] - levels.levels()[i]) * reach);
      for (std::size_t j = 0; j < n; ++j) steps[j] = slope * (x[begin + j] - threshold);
      real_kernels<T>().math.tanh(static_cast<std::int64_t>(n), steps, steps);
      for (std::size_t j = 0; j < n; ++j) sum[j] += weigh(height, steps[j]);
    }
    std::copy_n(sum, n, y.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

}  // namespace

void SharpnessSchedule::validate() const {
  check(first > 0 && first <= last && std::isfinite(last) && hard_from > 0 && hard_from <= 1,
        "sharpness: given ", first, " to ", last, ", hard from ", hard_from,
        ", expected 0 < first <= last and 0 < hard_from <= 1");
}

double SharpnessSchedule::sharpness(double share) const {
  return first * std::pow(last / first, std::clamp(share / hard_from, 0.0, 1.0));
}

AsymptoticMap::AsymptoticMap(const LevelSet& levels, double sharpness, double reach)
    : levels_(levels), sharpness_(sharpness), reach_(reach) {
  check(sharpness > 0 && std::isfinite(sharpness) && reach > 0 && std::isfinite(reach),
        "asymptotic map: given a sharpness of ", sharpness, " and a reach of ", reach,
        ", expected positive numbers");
}

double AsymptoticMap::value(double x) const {
  double y;
  values<double>({&x, 1}, {&y, 1});
  return y;
}

double AsymptoticMap::slope(double x) const {
  double y;
  slopes<double>({&x, 1}, {&y, 1});
  return y;
}

// The halves of the heights that stand without a tanh add up to the middle of the levels.
template <class T>
void AsymptoticMap::values(std::span<const T> x, std::span<T> y) const {
  sum_steps(levels_, reach_, sharpness_ / reach_, reach_ * (levels_.lowest() + levels_.highest()) / 2, x, y,
            [](T height, T step) { return height / 2 * step; });
}

template <class T>
void AsymptoticMap::slopes(std::span<const T> x, std::span<T> y) const {
  const double factor = sharpness_ / reach_;
  sum_steps(levels_, reach_, factor, 0, x, y, [half = static_cast<T>(factor / 2)](T height, T step) {
    return height * half * (1 - step * step);
  });
}

template void AsymptoticMap::values(std::span<const float>, std::span<float>) const;
template void AsymptoticMap::values(std::span<const double>, std::span<double>) const;
template void AsymptoticMap::slopes(std::span<const float>, std::span<float>) const;
template void AsymptoticMap::slopes(std::span<const double>, std::span<double>) const;

}  // namespace coarsegrad
