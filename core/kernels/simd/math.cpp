#include "core/kernels/math.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr float kInfinity = __builtin_inff(), kSmallestNormal = 0x1p-126f;
// ln 2 in two parts: products of the first with integers up to 2^9 are exact.
constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;

// x = n ln 2 + r with |r| <= ln 2 / 2. x must be of moderate size.
struct Reduced {
  F32 n, r;
};
COARSEGRAD_INLINE Reduced reduce(F32 x) {
  const F32 n = round_even(x * set1(0x1.715476p+0f));
  return {n, fnma(n, set1(kLn2Low), fnma(n, set1(kLn2High), x))};
}

// exp(r) - 1 for |r| <= ln 2 / 2: the Taylor series to r^7, whose remainder is below 2^-27 of r.
COARSEGRAD_INLINE F32 exp_minus_1(F32 r) {
  constexpr float series[] = {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2};
  F32 p = set1(1.f / 5040);
  for (const float c : series) p = fma(p, r, set1(c));
  return fma(p, r * r, r);
}

COARSEGRAD_INLINE F32 power_of_2(I32 n) { return as_float(shift_left<23>(n + set1(127))); }

// Outside of the clamp the result is 0 or infinite anyway. The power is applied in two halves, each a normal number.
COARSEGRAD_INLINE F32 exp(F32 x) {
  const Reduced t = reduce(min(set1(90.f), max(set1(-110.f), x)));
  const I32 n = to_int(t.n), half = shift_right<1>(n);
  return (exp_minus_1(t.r) + set1(1.f)) * power_of_2(half) * power_of_2(n - half);
}

// x = 2^e m with sqrt(1/2) <= m < sqrt(2), f = m - 1, s = f / (2 + f): log m = 2 atanh(s) = f - f^2/2 + s
// (f^2/2 + R), R = 2 s^2 (1/3 + s^2/5 + ...), truncated below 2^-28.
COARSEGRAD_INLINE F32 log(F32 x) {
  const I32 bias = set1(0x3F3504F3);  // bits of sqrt(1/2)
  const I32 e = shift_right<23>(as_int(x) - bias);
  const F32 f = as_float(as_int(x) - shift_left<23>(e)) - set1(1.f), exponent = to_float(e);
  const F32 s = f / (set1(2.f) + f), s2 = s * s, half_square = set1(0.5f) * f * f;
  constexpr float series[] = {2.f / 7, 2.f / 5, 2.f / 3};
  F32 p = set1(2.f / 9);
  for (const float c : series) p = fma(p, s2, set1(c));
  const F32 tail = fma(s, fma(p, s2, half_square), exponent * set1(kLn2Low));
  const F32 y = fma(exponent, set1(kLn2High), f - (half_square - tail));
  const F32 finite = select(x < set1(kInfinity), y, x);  // keeps +inf and NaN
  const F32 none = select(x < zero(), set1(__builtin_nanf("")), set1(-kInfinity));
  return select(x < set1(kSmallestNormal), none, finite);
}

// Goes by exp(2 |x|) - 1, which keeps its relative accuracy near 0.
COARSEGRAD_INLINE F32 tanh(F32 x) {
  const F32 size = abs(x);
  const Reduced t = reduce(min(set1(20.f), size + size));
  const F32 power = power_of_2(to_int(t.n));
  const F32 e = fma(power, exp_minus_1(t.r), power - set1(1.f));
  const I32 sign = as_int(x) & set1(static_cast<std::int32_t>(0x80000000u));
  return as_float(as_int(e / (e + set1(2.f))) | sign);
}

COARSEGRAD_INLINE F32 sigmoid(F32 x) { return set1(1.f) / (set1(1.f) + exp(-x)); }

void exp(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, exp(lanes.load(x + i))); });
}

void log(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, log(lanes.load(x + i))); });
}

void tanh(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, tanh(lanes.load(x + i))); });
}

void sigmoid(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, sigmoid(lanes.load(x + i))); });
}

// A NaN may be lost here: the sum of the row finds it.
COARSEGRAD_INLINE F32 largest(std::int64_t cols, const float* x) {
  F32 m = set1(-kInfinity);
  for_vectors(cols, [&](std::int64_t c, auto lanes) { m = max(m, lanes.fill(lanes.load(x + c), set1(-kInfinity))); });
  return set1(reduce_max(m));
}

void softmax(std::int64_t rows, std::int64_t cols, const float* x, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const F32 m = largest(cols, x);
    F32 sum = zero();
    for_vectors(cols, [&](std::int64_t c, auto lanes) {
      const F32 e = exp(lanes.load(x + c) - m);
      lanes.store(y + c, e);
      sum = sum + lanes.fill(e, zero());
    });
    const F32 all = set1(reduce_add(sum));
    for_vectors(cols, [&](std::int64_t c, auto lanes) { lanes.store(y + c, lanes.load(y + c) / all); });
  }
}

void log_softmax(std::int64_t rows, std::int64_t cols, const float* x, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const F32 m = largest(cols, x);
    F32 sum = zero();
    for_vectors(cols, [&](std::int64_t c, auto lanes) { sum = sum + lanes.fill(exp(lanes.load(x + c) - m), zero()); });
    const F32 log_sum = log(set1(reduce_add(sum)));
    for_vectors(cols, [&](std::int64_t c, auto lanes) { lanes.store(y + c, (lanes.load(x + c) - m) - log_sum); });
  }
}

}  // namespace

const Math<float> math{exp, log, tanh, sigmoid, softmax, log_softmax};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
