#include "core/kernels/pool.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// body(o, i, lanes) for the vectors of each window's channels: o counts outputs, i is the input of the first tap.
template <class Body>
COARSEGRAD_INLINE void for_windows(const PoolRun& s, Body body) {
  for (std::int64_t p = 0; p < s.count; ++p)
    for_vectors(s.channels, [&](std::int64_t c, auto lanes) { body(p * s.channels + c, p * s.step + c, lanes); });
}

// body(offset from the first tap, number) for the taps of a window. Rows and Cols are 0 where the run says how many.
template <int Rows, int Cols, class Body>
COARSEGRAD_INLINE void for_taps(const PoolRun& s, Body body) {
  const std::int64_t rows = Rows ? Rows : s.rows, cols = Cols ? Cols : s.cols;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j)
      body(i * s.row_pitch + j * s.channels,
           s.first + static_cast<std::int32_t>(i) * s.number_pitch + static_cast<std::int32_t>(j));
}

template <int Rows, int Cols, bool numbered>
void max_windows(const PoolRun& s, const float* x, float* y, std::uint16_t* number) {
  for_windows(s, [&](std::int64_t o, std::int64_t in, auto lanes) {
    F32 best = lanes.load(x + in);
    I32 best_tap = set1(s.first);
    for_taps<Rows, Cols>(s, [&](std::int64_t offset, std::int32_t tap) {
      if (offset == 0) return;
      const F32 v = lanes.load(x + in + offset);
      const Mask better = (v > best) | (v != v);
      best = select(better, v, best);
      if (numbered) best_tap = select(better, set1(tap), best_tap);
    });
    lanes.store(y + o, best);
    if (numbered) lanes.store(number + o, best_tap);
  });
}

void max_forward(const PoolRun& s, const float* x, float* y, std::uint16_t* number) {
  const bool two_by_two = s.rows == 2 && s.cols == 2;
  if (number)
    (two_by_two ? max_windows<2, 2, true> : max_windows<0, 0, true>)(s, x, y, number);
  else
    (two_by_two ? max_windows<2, 2, false> : max_windows<0, 0, false>)(s, x, y, number);
}

void max_backward(const PoolRun& s, const float* dy, const std::uint16_t* number, float* dx) {
  for_windows(s, [&](std::int64_t o, std::int64_t in, auto lanes) {
    const F32 g = lanes.load(dy + o);
    const I32 chosen = lanes.load(number + o);
    for_taps<0, 0>(s, [&](std::int64_t offset, std::int32_t tap) {
      const F32 d = lanes.load(dx + in + offset);
      lanes.store(dx + in + offset, select(chosen == set1(tap), d + g, d));
    });
  });
}

template <int Rows, int Cols>
void spread(const PoolRun& s, const float* dy, const std::uint16_t* number, float* dx) {
  for_windows(s, [&](std::int64_t o, std::int64_t in, auto lanes) {
    const F32 g = lanes.load(dy + o);
    const I32 chosen = lanes.load(number + o);
    for_taps<Rows, Cols>(
        s, [&](std::int64_t offset, std::int32_t tap) { lanes.store(dx + in + offset, keep(chosen == set1(tap), g)); });
  });
}

void max_backward_disjoint(const PoolRun& s, const float* dy, const std::uint16_t* number, float* dx) {
  (s.rows == 2 && s.cols == 2 ? spread<2, 2> : spread<0, 0>)(s, dy, number, dx);
}

void average_forward(const PoolRun& s, const float* x, float divisor, float* y) {
  for_windows(s, [&](std::int64_t o, std::int64_t in, auto lanes) {
    F32 sum = zero();
    for_taps<0, 0>(s, [&](std::int64_t offset, std::int32_t) { sum = sum + lanes.load(x + in + offset); });
    lanes.store(y + o, sum / set1(divisor));
  });
}

void average_backward(const PoolRun& s, const float* dy, float divisor, float* dx) {
  for_windows(s, [&](std::int64_t o, std::int64_t in, auto lanes) {
    const F32 g = lanes.load(dy + o) / set1(divisor);
    for_taps<0, 0>(
        s, [&](std::int64_t offset, std::int32_t) { lanes.store(dx + in + offset, lanes.load(dx + in + offset) + g); });
  });
}

}  // namespace

const Pool<float> pool{max_forward, max_backward, max_backward_disjoint, average_forward, average_backward};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
