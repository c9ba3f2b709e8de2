#include "core/kernels/norm.h"

#include "core/kernels/simd/columns.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// The squares are summed around the mean of the first rows. That costs one sweep, and since those rows are
// part of the data, the sum can exceed m2 by a factor of rows / kSumRows + 1 at most: no offset makes it
// cancel.
template <class AnyPanel>
void panel_moments(std::int64_t rows, std::int64_t cols, AnyPanel panel, const float* x, double* mean,
                   double* m2) {
  const std::int64_t head = rows < kSumRows ? rows : kSumRows, n = columns_of(panel);
  double* const head_sum[] = {mean};
  sum_panel(head, cols, panel, head_sum,
            [x](std::int64_t i, std::int64_t, auto lanes, F32(&s)[1]) { s[0] = s[0] + lanes.load(x + i); });
  float center[4 * kLanes] = {};
  for (std::int64_t j = 0; j < n; ++j) center[j] = static_cast<float>(mean[j] / static_cast<double>(head));
  double* const sums[] = {mean, m2};
  sum_panel(rows, cols, panel, sums, [x, &center](std::int64_t i, std::int64_t j, auto lanes, F32(&s)[2]) {
    const F32 d = lanes.load(x + i) - load(center + j);
    s[0] = s[0] + d;
    s[1] = fma(d, d, s[1]);
  });
  for (std::int64_t j = 0; j < n; ++j) {
    const double shift = mean[j] / static_cast<double>(rows), around_mean = m2[j] - mean[j] * shift;
    mean[j] = static_cast<double>(center[j]) + shift;
    m2[j] = around_mean < 0 ? 0 : around_mean;
  }
}

void moments(std::int64_t rows, std::int64_t cols, const float* x, double* mean, double* m2) {
  for_panels(cols,
             [=](std::int64_t c, auto panel) { panel_moments(rows, cols, panel, x + c, mean + c, m2 + c); });
}

void normalize(std::int64_t rows, std::int64_t cols, const float* x, const float* mean, const float* factor,
               const float* shift, float* y) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    const auto lanes = panel.lanes;
    const auto m = load_columns(mean + c, panel), f = load_columns(factor + c, panel),
               s = load_columns(shift + c, panel);
    for_rows(rows, cols, c, panel, [=](std::int64_t i, int v) {
      lanes.store(y + i, (lanes.load(x + i) - m.vector[v]) * f.vector[v] + s.vector[v]);
    });
  });
}

void backward_sums(std::int64_t rows, std::int64_t cols, const float* x, const float* dy, const float* mean,
                   double* sum_dy, double* sum_dyx) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    double* const sums[] = {sum_dy + c, sum_dyx + c};
    const float *const px = x + c, *const pdy = dy + c, *const pmean = mean + c;
    sum_panel(rows, cols, panel, sums, [=](std::int64_t i, std::int64_t j, auto lanes, F32(&s)[2]) {
      const F32 g = lanes.load(pdy + i);
      s[0] = s[0] + g;
      s[1] = fma(g, lanes.load(px + i) - lanes.load(pmean + j), s[1]);
    });
  });
}

void backward(std::int64_t rows, std::int64_t cols, const float* x, const float* dy, const float* mean,
              const float* mean_dy, const float* slope, const float* factor, float* dx) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    const auto lanes = panel.lanes;
    const auto m = load_columns(mean + c, panel), g = load_columns(mean_dy + c, panel),
               s = load_columns(slope + c, panel), f = load_columns(factor + c, panel);
    for_rows(rows, cols, c, panel, [=](std::int64_t i, int v) {
      const F32 centered = lanes.load(x + i) - m.vector[v];
      lanes.store(dx + i, ((lanes.load(dy + i) - g.vector[v]) - centered * s.vector[v]) * f.vector[v]);
    });
  });
}

}  // namespace

const Norm<float> norm{moments, normalize, backward_sums, backward};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
