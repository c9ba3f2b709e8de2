#include "quant/math/power_of_two.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "core/kernels/kernels.h"
#include "quant/math/uniform_weight.h"

namespace coarsegrad {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int kMostMagnitudes = 1 << (kMostPowerBits - 2);

std::int64_t size_of(auto values) { return static_cast<std::int64_t>(values.size()); }

template <class T>
void write_codes(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes) {
  check(!thresholds.empty() && size_of(thresholds) <= kMostMagnitudes && std::ranges::is_sorted(thresholds),
        "encode powers: given ", thresholds.size(), " thresholds, expected 1 to ", kMostMagnitudes, ", ascending");
  parallel_ranges(size_of(w), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    double sum;
    std::int64_t squares;
    real_kernels<T>().projection.encode(end - begin, w.data() + begin, static_cast<int>(thresholds.size()),
                                        thresholds.data(), codes + begin, &sum, &squares);
  });
}

// Every threshold between neighbouring values of 2^s Q is 2^k or 1.5 2^k, whatever s is. Weights are
// therefore counted and summed by place: place 2 d has those of [1.5, 2) 2^(e - d), place 2 d + 1 those of
// [1, 1.5) 2^(e - d), where 2^e <= max|w| < 2^(e+1). The last place has whatever is smaller.
constexpr int kPlaces = 256;
struct Places {
  std::int64_t count[kPlaces] = {};
  double sum[kPlaces] = {};
};

template <class T>
Places by_place(std::span<const T> w, T max) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int kBelowPlace = std::numeric_limits<T>::digits - 2;  // bits of the mantissa but for its first
  constexpr Bits kLast = kPlaces - 1;
  const Bits top = (std::bit_cast<Bits>(max) >> kBelowPlace) | 1;
  Places all;
  in_pieces<Places>(
      size_of(w),
      [&](std::int64_t begin, std::int64_t count) {
        Places part;
        for (std::int64_t i = begin; i < begin + count; ++i) {
          const T size = std::abs(w[static_cast<std::size_t>(i)]);
          const Bits place = top - (std::bit_cast<Bits>(size) >> kBelowPlace);
          const Bits at = size < std::numeric_limits<T>::min() ? kLast : std::min(place, kLast);
          ++part.count[at];
          part.sum[at] += static_cast<double>(size);
        }
        return part;
      },
      [&](const Places& part) {
        for (int i = 0; i < kPlaces; ++i) {
          all.count[i] += part.count[i];
          all.sum[i] += part.sum[i];
        }
      });
  return all;
}

// How much smaller the error is than |w|^2 when every weight takes the nearest value of 2^s Q; 2^e as above.
double gain(const Places& places, int e, int s, int magnitudes) {
  double total = 0;
  int place = 0;
  for (int t = 0; t < magnitudes; ++t) {
    const int end = 2 * (e - s + t) + (t + 1 < magnitudes ? 3 : 4);
    std::int64_t count = 0;
    double sum = 0;
    for (; place < end; ++place) {
      count += places.count[place];
      sum += places.sum[place];
    }
    const double value = std::ldexp(1.0, s - t);
    total += value * (2 * sum - value * static_cast<double>(count));
  }
  return total;
}

// The s of the exact minimum for n weights. Larger ones than the first candidate give 2^s to no weight. The
// largest weight alone gains 8/9 max^2 there, and all n of them gain at most 2 n max 2^s, which leaves
// floor(log2 n) + 3 candidates; the places that they look at are fewer than kPlaces below n = 2^90.
template <class T>
int exact_scale(std::span<const T> w, T max, int magnitudes) {
  const Places places = by_place(w, max);
  const int e = floor_log2(static_cast<double>(max)), first = floor_log2(static_cast<double>(max) / 3) + 2;
  const int last = first - floor_log2(static_cast<double>(w.size())) - 2;
  int best = first;
  double most = -1;
  for (int s = first; s >= last; --s)
    if (const double g = gain(places, e, s, magnitudes); g > most) {
      most = g;
      best = s;
    }
  return best;
}

// codes = 0 and the scale for it where there is nothing to project: zeros, or weights that are not finite.
template <class T>
bool nothing_to_encode(std::span<const T> w, const Magnitude<T>& m, std::int8_t* codes, double& scale) {
  const bool finite = std::isfinite(m.sum);
  if (finite && m.max >= std::numeric_limits<T>::min()) return false;
  std::fill_n(codes, w.size(), std::int8_t{0});
  scale = finite ? 1 : kNaN;
  return true;
}

}  // namespace

int power_magnitudes(int bits) {
  check_usage(bits >= kLeastPowerBits && bits <= kMostPowerBits, "bits of a power-of-two weight: given ", bits,
              ", expected ", kLeastPowerBits, " to ", kMostPowerBits);
  return 1 << (bits - 2);
}

int floor_log2(double x) {
  int exponent;
  std::frexp(x, &exponent);
  return exponent - 1;
}

int best_power_scale(double a, double b) { return a > 0 && b > 0 ? floor_log2(b / (3 * a)) + 2 : 0; }

template <class T>
std::vector<T> power_thresholds(double mu, int magnitudes) {
  const T top = static_cast<T>(mu);
  std::vector<T> thresholds{std::ldexp(top, 2 - magnitudes) / 3};
  for (int t = magnitudes - 2; t >= 0; --t) thresholds.push_back(std::ldexp(top, -t));
  for (T& t : thresholds) t = std::max(t, std::numeric_limits<T>::min());
  return thresholds;
}

template <class T>
PowerSums write_powers(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes) {
  write_codes(w, thresholds, codes);
  double value[kMostMagnitudes + 1];
  const auto magnitudes = static_cast<int>(thresholds.size());
  for (int k = 0; k <= magnitudes; ++k) value[k] = power_value(k, magnitudes);
  PowerSums all{};
  in_pieces<PowerSums>(
      size_of(w),
      [&](std::int64_t begin, std::int64_t count) {
        PowerSums lane[4] = {};  // additions wait for one another within a lane only
        for (std::int64_t i = begin; i < begin + count; ++i) {
          const double q = value[std::abs(codes[i])];
          lane[i % 4].a += q * q;
          lane[i % 4].b += q * static_cast<double>(std::abs(w[static_cast<std::size_t>(i)]));
        }
        return PowerSums{lane[0].a + lane[1].a + (lane[2].a + lane[3].a),
                         lane[0].b + lane[1].b + (lane[2].b + lane[3].b)};
      },
      [&](const PowerSums& part) {
        all.a += part.a;
        all.b += part.b;
      });
  return all;
}

template <class T>
double encode_powers(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes) {
  const PowerSums sums = write_powers(w, thresholds, codes);
  return std::isfinite(sums.b) ? std::ldexp(1.0, best_power_scale(sums.a, sums.b)) : kNaN;
}

template <class T>
double encode_powers_by_max(std::span<const T> w, int bits, double mu_over_max, std::int8_t* codes) {
  const int magnitudes = power_magnitudes(bits);
  check_usage(mu_over_max > 0 && std::isfinite(mu_over_max), "power-of-two weights: given mu_over_max = ", mu_over_max,
              ", expected a positive number");
  if (magnitudes == 1) return encode_powers_exactly(w, bits, codes);
  const Magnitude<T> m = magnitude(w);
  if (double scale; nothing_to_encode(w, m, codes, scale)) return scale;
  const double mu = mu_over_max * static_cast<double>(m.max);
  return encode_powers<T>(w, power_thresholds<T>(mu, magnitudes), codes);
}

template <class T>
double encode_powers_exactly(std::span<const T> w, int bits, std::int8_t* codes) {
  const int magnitudes = power_magnitudes(bits);
  const Magnitude<T> m = magnitude(w);
  if (double scale; nothing_to_encode(w, m, codes, scale)) return scale;
  const double scale = std::ldexp(1.0, exact_scale(w, m.max, magnitudes));
  write_codes<T>(w, power_thresholds<T>(0.75 * scale, magnitudes), codes);
  return scale;
}

double power_value(int code, int magnitudes) {
  const double size = code == 0 ? 0 : std::ldexp(1.0, std::abs(code) - magnitudes);
  return code < 0 ? -size : size;
}

#define COARSEGRAD_INSTANTIATE(T)                                                        \
  template std::vector<T> power_thresholds(double, int);                                 \
  template PowerSums write_powers(std::span<const T>, std::span<const T>, std::int8_t*); \
  template double encode_powers(std::span<const T>, std::span<const T>, std::int8_t*);   \
  template double encode_powers_by_max(std::span<const T>, int, double, std::int8_t*);   \
  template double encode_powers_exactly(std::span<const T>, int, std::int8_t*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
