#include "core/kernels/activation.h"

#include "core/kernels/norm.h"
#include "core/kernels/simd/quantizer.h"
#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

void relu(std::int64_t n, const float* x, float* y, std::uint8_t* mask) {
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const F32 v = lanes.load(x + i);
    const Mask positive = v > zero();
    if (mask) lanes.store_bits(mask + i / 8, positive);
    if (y) lanes.store(y + i, keep(positive | (v != v), v));
  });
}

// min(levels, ceil(q)) where q > 0, NaN where q is NaN, else +0: adding 0 turns -0 into +0.
COARSEGRAD_INLINE F32 level(F32 q, F32 levels) { return min(levels, max(zero(), ceil(q))) + zero(); }

bool quantize(std::int64_t n, const float* x, Quantizer<float> quantizer, PassBand<float> pass, float* y,
              std::uint8_t* codes, std::uint8_t* mask) {
  return with_quantizer(quantizer, pass, [=](const auto& to) {
    Mask nan = first(0);
    for_vectors(n, [=, &nan](std::int64_t i, auto lanes) {
      const F32 q = to.quotient(lanes.load(x + i));
      const F32 code = to.code(q);
      nan = nan | (q != q);
      if (mask) lanes.store_bits(mask + i / 8, to.passes(q));
      if (codes) to.store_code(lanes, codes + i, code);
      if (y) lanes.store(y + i, to.scale * code);
    });
    return bits(nan) != 0;
  });
}

void decode(std::int64_t n, const std::uint8_t* codes, float alpha, float* y) {
  const F32 a = set1(alpha);
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, a * to_float(lanes.load(codes + i))); });
}

void apply_mask(std::int64_t n, const std::uint8_t* mask, const float* dy, float* dx) {
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    lanes.store(dx + i, keep(lanes.load_bits(mask + i / 8), lanes.load(dy + i)));
  });
}

double total(const F32 (&s)[4]) {
  double sum = 0;
  for (const F32& lanes : s) {
    float values[kLanes];
    store(values, lanes);
    for (const float value : values) sum += static_cast<double>(value);
  }
  return sum;
}

// Sum over n elements of dy * d(i, lanes), in double.
template <class Derivative>
double wide_weighted_sum(std::int64_t n, const float* dy, Derivative d) {
  F64 low = zero_f64(), high = zero_f64();
  for_vectors(n, [&](std::int64_t i, auto lanes) {
    const F32 a = lanes.load(dy + i), b = d(i, lanes);
    low = fma(low_f64(a), low_f64(b), low);
    high = fma(high_f64(a), high_f64(b), high);
  });
  double values[kLanes], sum = 0;
  store(values, low);
  store(values + kLanes / 2, high);
  for (const double value : values) sum += value;
  return sum;
}

// The sum of wide_weighted_sum(), in float for kSumRows terms of a lane, then in double; NaN or infinite where a float
// overflows.
template <class Derivative>
COARSEGRAD_INLINE double narrow_weighted_sum(std::int64_t n, const float* dy, Derivative d) {
  constexpr std::int64_t step = 4 * kWidth, block = kSumRows * step;
  double sum = 0;
  std::int64_t i = 0;
  while (i + step <= n) {
    const std::int64_t end = i + block < n ? i + block : n;
    F32 s[4] = {zero(), zero(), zero(), zero()};
    for (; i + step <= end; i += step)
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) s[v] = fma(load(dy + i + v * kWidth), d(i + v * kWidth, Whole{}), s[v]);
    sum += total(s);
  }
  F32 s[4] = {zero(), zero(), zero(), zero()};
  const auto add = [&](std::int64_t j, auto lanes) { s[0] = fma(lanes.load(dy + i + j), d(i + j, lanes), s[0]); };
  for_vectors(n - i, add);
  return sum + total(s);
}

template <class Derivative>
COARSEGRAD_INLINE double weighted_sum(std::int64_t n, const float* dy, Derivative d) {
  const double sum = narrow_weighted_sum(n, dy, d);
  return finite(sum) ? sum : wide_weighted_sum(n, dy, d);
}

// What stands for d sigma / d alpha where 0 < q <= levels, unless the alpha rule is exact.
COARSEGRAD_INLINE F32 middle_of(int levels, AlphaRule rule) {
  const int middle = (levels + 1) / 2;
  return set1(rule == AlphaRule::three_valued ? static_cast<float>(middle) : 0.f);
}

double alpha_gradient(std::int64_t n, const float* x, const float* dy, float alpha, int levels, AlphaRule rule) {
  const F32 a = set1(alpha), top = set1(static_cast<float>(levels)), middle = middle_of(levels, rule);
  if (rule == AlphaRule::exact)
    return weighted_sum(n, dy, [=](std::int64_t i, auto lanes) {
      const F32 q = lanes.load(x + i) / a;
      return keep(q > zero(), level(q, top));
    });
  return weighted_sum(n, dy, [=](std::int64_t i, auto lanes) {
    const F32 q = lanes.load(x + i) / a;
    return keep(q > zero(), select(q > top, top, middle));
  });
}

double alpha_gradient_codes(std::int64_t n, const std::uint8_t* codes, const std::uint8_t* mask, const float* dy,
                            int levels, AlphaRule rule) {
  if (rule == AlphaRule::exact)
    return weighted_sum(n, dy, [=](std::int64_t i, auto lanes) { return to_float(lanes.load(codes + i)); });
  const F32 middle = middle_of(levels, rule);
  return weighted_sum(n, dy, [=](std::int64_t i, auto lanes) {
    return select(lanes.load_bits(mask + i / 8), middle, to_float(lanes.load(codes + i)));
  });
}

double step_gradient(std::int64_t n, const float* x, const std::uint8_t* codes, const float* dy, float step,
                     int levels) {
  const F32 s = set1(step), top = set1(static_cast<float>(levels));
  return weighted_sum(n, dy, [=](std::int64_t i, auto lanes) {
    const F32 q = lanes.load(x + i) / s;
    return to_float(lanes.load(codes + i)) - keep((q > zero()) & (q <= top), q);
  });
}

}  // namespace

const Activation<float> activation{relu,         quantize, decode, apply_mask, alpha_gradient, alpha_gradient_codes,
                                   step_gradient};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
