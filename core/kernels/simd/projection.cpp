#include "core/kernels/projection.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr std::int64_t kSums = 16;
constexpr int kVectors = kSums / kWidth;

// Sixteen running sums; a vector takes two of `half`.
struct Sum16 {
  F64 half[2 * kVectors];

  COARSEGRAD_INLINE Sum16() {
    for (F64& h : half) h = zero_f64();
  }
  /// Adds a * b, which must be exact in double, for vector v of a step.
  COARSEGRAD_INLINE void add_product(int v, F32 a, F32 b) {
    half[2 * v] = fma(low_f64(a), low_f64(b), half[2 * v]);
    half[2 * v + 1] = fma(high_f64(a), high_f64(b), half[2 * v + 1]);
  }
  COARSEGRAD_INLINE void add(int v, F32 a) {
    half[2 * v] = half[2 * v] + low_f64(a);
    half[2 * v + 1] = half[2 * v + 1] + high_f64(a);
  }
  COARSEGRAD_INLINE double total() const {
    double lane[kSums], sum = 0;
    for (int h = 0; h < 2 * kVectors; ++h) store(lane + h * (kSums / (2 * kVectors)), half[h]);
    for (const double x : lane) sum += x;
    return sum;
  }
};

// body(i, v, lanes) for the vectors of n elements, v counting them within a step of sixteen. Past the end a
// part of a vector loads zeros.
template <class Body>
COARSEGRAD_INLINE void for_steps(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) body(i + v * kWidth, v, Whole{});
  }
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v, i += kWidth)
    if (i < n) body(i, v, Part{static_cast<std::size_t>(n - i < kWidth ? n - i : kWidth)});
}

void magnitude(std::int64_t n, const float* x, double* sum, float* max) {
  Sum16 sums;
  F32 largest = zero();
  for_steps(n, [&](std::int64_t i, int v, auto lanes) {
    const F32 a = abs(lanes.load(x + i));
    sums.add(v, a);
    largest = COARSEGRAD_TARGET::max(a, largest);
  });
  *sum = sums.total();
  *max = reduce_max(largest);
}

// Signs as of a number below 0: neither -0 nor NaN has one.
COARSEGRAD_INLINE I32 with_sign_of(F32 x, I32 level) {
  return select(x < zero(), I32{set1(std::int32_t{0})} - level, level);
}

void encode(std::int64_t n, const float* x, int levels, const float* thresholds, std::int8_t* codes, double* sum,
            std::int64_t* squares) {
  const F32 one = set1(1.f);
  Sum16 sums;
  I32 square = set1(std::int32_t{0});
  for_steps(n, [&](std::int64_t i, int v, auto lanes) {
    const F32 value = lanes.load(x + i), a = abs(value);
    F32 level = keep(a >= set1(thresholds[0]), one);
    for (int k = 1; k < levels; ++k) level = level + keep(a >= set1(thresholds[k]), one);
    level = lanes.fill(level, zero());
    const I32 code = to_int(level);
    lanes.store(codes + i, with_sign_of(value, code));
    sums.add_product(v, a, level);
    square = square + code * code;
  });
  *sum = sums.total();
  std::int32_t lane[kLanes];
  store(lane, square);
  *squares = 0;
  for (const std::int32_t s : lane) *squares += s;
}

void decode(std::int64_t n, const std::int8_t* codes, float scale, float* y) {
  const F32 s = set1(scale);
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, s * to_float(lanes.load(codes + i))); });
}

}  // namespace

const Projection<float> projection{magnitude, encode, decode};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
