#include "quant/math/level_set.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "quant/math/power_of_two.h"

namespace coarsegrad {
namespace {

// The least sizes whose codes are 1, 2, ... in the comparison of the kernel, which is >=.
template <class T>
std::vector<T> least_sizes(std::span<const double> thresholds) {
  if (thresholds.empty()) return {std::numeric_limits<T>::min()};
  std::vector<T> sizes;
  for (const double t : thresholds) sizes.push_back(std::nextafter(static_cast<T>(t), T(1)));
  return sizes;
}

}  // namespace

int level_thresholds(int bits) {
  check_usage(bits >= 1 && bits <= kMostLevelBits, "bits of a level set: given ", bits, ", expected 1 to ",
              kMostLevelBits);
  return (1 << (bits - 1)) - 1;
}

LevelSet::LevelSet(int bits, std::vector<double> thresholds) : bits_(bits), thresholds_(std::move(thresholds)) {
  const auto wanted = static_cast<std::size_t>(level_thresholds(bits));
  check_usage(thresholds_.size() == wanted, "level set: given ", thresholds_.size(), " thresholds with ", bits,
              " bits, expected ", wanted);
  for (std::size_t k = 0; k < wanted; ++k) {
    const double t = thresholds_[k], before = k == 0 ? 0 : thresholds_[k - 1];
    const auto single = static_cast<float>(t);
    check_usage(t > before && single >= std::numeric_limits<float>::min() && single < 1,
                "level set: given a threshold of ", t, " behind ", before,
                ", expected ascending ones above 0 and below 1");
  }
}

double LevelSet::level(int code) const { return power_value(code, magnitudes()); }

std::vector<double> LevelSet::levels() const {
  std::vector<double> all;
  for (int code = -magnitudes(); code <= magnitudes(); ++code)
    if (code != 0 || bits_ > 1) all.push_back(level(code));
  return all;
}

template <class T>
bool LevelSet::encode(std::span<const T> x, std::int8_t* codes) const {
  const std::vector<T> sizes = least_sizes<T>(thresholds_);
  std::atomic<bool> any_nan = false;
  parallel_ranges(static_cast<std::int64_t>(x.size()), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    double sum;  // of |x| |code|, NaN where one is NaN
    std::int64_t squares;
    real_kernels<T>().projection.encode(end - begin, x.data() + begin, static_cast<int>(sizes.size()), sizes.data(),
                                        codes + begin, &sum, &squares);
    if (std::isnan(sum)) any_nan = true;
    if (bits_ == 1)
      std::transform(codes + begin, codes + end, codes + begin,
                     [](std::int8_t k) { return static_cast<std::int8_t>(k > 0 ? 1 : -1); });
  });
  return any_nan;
}
template bool LevelSet::encode(std::span<const float>, std::int8_t*) const;
template bool LevelSet::encode(std::span<const double>, std::int8_t*) const;

void describe(OptionVisitor& v, LevelThresholds& t) {
  constexpr OptionRange<double> kSizes{1e-6, 0.999};
  v.number({"ternary-above", "1", "size above which a value of 2 bits is +-1 instead of 0"}, t.ternary_above, kSizes);
  v.number({"quarter-above", "1", "size above which a value of 3 bits is +-1/4 instead of 0"}, t.quarter_above, kSizes);
  v.number({"half-above", "1", "size above which a value of 3 bits is +-1/2 instead of +-1/4"}, t.half_above, kSizes);
  v.number({"one-above", "1", "size above which a value of 3 bits is +-1 instead of +-1/2"}, t.one_above, kSizes);
}

LevelSet level_set(int bits, const LevelThresholds& t) {
  check_usage(bits >= 1 && bits <= 3, "bits of a level set: given ", bits, ", expected 1 to 3");
  if (bits == 1) return {1, {}};
  return bits == 2 ? LevelSet(2, {t.ternary_above}) : LevelSet(3, {t.quarter_above, t.half_above, t.one_above});
}

}  // namespace coarsegrad
