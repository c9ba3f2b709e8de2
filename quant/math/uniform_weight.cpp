#include "quant/math/uniform_weight.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "core/kernels/kernels.h"
#include "quant/math/weight_sweep.h"

namespace coarsegrad {
namespace {

std::int64_t size_of(auto values) { return static_cast<std::int64_t>(values.size()); }

// The smallest number for which reached() is true, which grows with it; `guess` is a few roundings away.
template <class T, class Reached>
T first_reached(double guess, Reached reached) {
  constexpr T kLeast = std::numeric_limits<T>::min(), kMost = std::numeric_limits<T>::max();
  T x = std::clamp(static_cast<T>(guess), kLeast, kMost);
  while (!reached(x) && x < kMost) x = std::nextafter(x, kMost);
  while (x > kLeast && reached(std::nextafter(x, kLeast))) x = std::nextafter(x, kLeast);
  return x;
}

// No weight reaches them.
template <class T>
std::vector<T> no_thresholds(int levels) {
  return std::vector<T>(static_cast<std::size_t>(levels), std::numeric_limits<T>::infinity());
}

}  // namespace

int highest_weight_level(int bits) {
  check_usage(bits >= 1 && bits <= 8, "bits of a weight: given ", bits, ", expected 1 to 8");
  return bits == 1 ? 1 : (1 << (bits - 1)) - 1;
}

template <class T>
Magnitude<T> magnitude(std::span<const T> w) {
  Magnitude<T> total{0, 0};
  in_pieces<Magnitude<T>>(
      size_of(w),
      [&](std::int64_t begin, std::int64_t n) {
        Magnitude<T> part;
        real_kernels<T>().projection.magnitude(n, w.data() + begin, &part.sum, &part.max);
        return part;
      },
      [&](const Magnitude<T>& part) {
        total.sum += part.sum;
        total.max = std::max(total.max, part.max);
      });
  return total;
}

template <class T>
std::vector<T> binary_thresholds(int sign_of_zero) {
  check_usage(sign_of_zero == 0 || sign_of_zero == 1, "binary weights: given sign(0) = ", sign_of_zero,
              ", expected 0 or 1");
  return {sign_of_zero == 1 ? T(0) : std::numeric_limits<T>::min()};
}

template <class T>
std::vector<T> nearest_thresholds(double delta, int levels) {
  if (!std::isfinite(delta) || delta <= 0) return no_thresholds<T>(levels);
  std::vector<T> thresholds;
  for (int k = 1; k <= levels; ++k)
    thresholds.push_back(
        first_reached<T>((k - 0.5) * delta, [&](T x) { return std::ceil(static_cast<double>(x) / delta - 0.5) >= k; }));
  return thresholds;
}

double lloyd_start(double max, int bits) { return 2 * max / ((1 << bits) - 1); }

template <class T>
std::vector<T> exact_thresholds(std::span<const T> w, int levels) {
  const Magnitude<T> m = magnitude(w);
  if (!std::isfinite(m.sum) || static_cast<double>(m.max) < kLeastMagnitude) return no_thresholds<T>(levels);
  const double last = best_event(w, m.max, levels);
  std::vector<T> thresholds;
  for (int j = 1; j <= levels; ++j)
    thresholds.push_back(
        first_reached<T>((j - 0.5) * last, [&](T x) { return event_place(static_cast<double>(x), j) >= last; }));
  return thresholds;
}

template <class T>
double encode_weights(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes) {
  check(!thresholds.empty() && thresholds.size() <= 127 && std::ranges::is_sorted(thresholds), "encode weights: given ",
        thresholds.size(), " thresholds, expected 1 to 127, ascending");
  struct Part {
    double sum;
    std::int64_t squares;
  };
  double sum = 0;
  std::int64_t squares = 0;
  in_pieces<Part>(
      size_of(w),
      [&](std::int64_t begin, std::int64_t n) {
        Part part;
        real_kernels<T>().projection.encode(n, w.data() + begin, static_cast<int>(thresholds.size()), thresholds.data(),
                                            codes + begin, &part.sum, &part.squares);
        return part;
      },
      [&](const Part& part) {
        sum += part.sum;
        squares += part.squares;
      });
  if (!std::isfinite(sum)) return std::numeric_limits<double>::quiet_NaN();
  return squares == 0 ? 0 : sum / static_cast<double>(squares);
}

#define COARSEGRAD_INSTANTIATE(T)                                    \
  template Magnitude<T> magnitude(std::span<const T>);               \
  template std::vector<T> binary_thresholds(int);                    \
  template std::vector<T> nearest_thresholds(double, int);           \
  template std::vector<T> exact_thresholds(std::span<const T>, int); \
  template double encode_weights(std::span<const T>, std::span<const T>, std::int8_t*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
