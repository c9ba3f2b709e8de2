#include "core/kernels/elementwise.h"

#include "core/kernels/simd/columns.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

void accumulate(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, lanes.load(y + i) + lanes.load(x + i)); });
}

void scale(std::int64_t n, float a, const float* x, float* y) {
  const F32 factor = set1(a);
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, factor * lanes.load(x + i)); });
}

void add_row(std::int64_t rows, std::int64_t cols, const float* row, const float* x, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += cols, y += cols)
    for_vectors(cols, [=](std::int64_t i, auto lanes) { lanes.store(y + i, lanes.load(x + i) + lanes.load(row + i)); });
}

void column_sums(std::int64_t rows, std::int64_t cols, const float* x, double* sums) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    double* const out[] = {sums + c};
    sum_panel(rows, cols, panel, out, [first = x + c](std::int64_t i, std::int64_t, auto lanes, F32(&s)[1]) {
      s[0] = s[0] + lanes.load(first + i);
    });
    repair_overflow(rows, cols, panel, sums + c,
                    [first = x + c](std::int64_t i, std::int64_t) { return static_cast<double>(first[i]); });
  });
}

}  // namespace

const Elementwise<float> elementwise{accumulate, scale, add_row, column_sums};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
