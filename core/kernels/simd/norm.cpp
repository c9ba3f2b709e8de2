#include "core/kernels/norm.h"

#include "core/kernels/simd/columns.h"
#include "core/kernels/simd/quantizer.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// Takes moments again, in double, where the squares have left the range of floats: upwards, so that a sum is
// infinite or NaN, or downwards, so that they count as 0. A column whose values are all the same is among those.
template <class AnyPanel, class Kept>
COARSEGRAD_INLINE void repair_moments(std::int64_t rows, std::int64_t cols, AnyPanel panel, const Kept* x, double* mean,
                                      double* m2) {
  const std::int64_t n = columns_of(panel);
  const double least = 0x1p-100 * static_cast<double>(rows);  // 2^26 times what is lost at most
  bool all_in_range = true;
  for (std::int64_t j = 0; j < n; ++j) all_in_range = all_in_range && finite(m2[j]) && m2[j] >= least;
  if (all_in_range) return;
  double wide_mean[kMostColumns], wide_m2[kMostColumns];
  sum_wide(rows, cols, n, wide_mean, [x](std::int64_t i, std::int64_t) { return to_double(x[i]); });
  for (std::int64_t j = 0; j < n; ++j) wide_mean[j] /= static_cast<double>(rows);
  sum_wide(rows, cols, n, wide_m2, [x, &wide_mean](std::int64_t i, std::int64_t j) {
    const double d = to_double(x[i]) - wide_mean[j];
    return d * d;
  });
  for (std::int64_t j = 0; j < n; ++j) {
    if (finite(m2[j]) && m2[j] >= least) continue;
    mean[j] = wide_mean[j];
    m2[j] = wide_m2[j];
  }
}

// The squares are summed around the mean of the first rows. That costs one sweep, and since those rows are
// part of the data, the sum can exceed m2 by a factor of rows / kSumRows + 1 at most: no offset makes it cancel.
template <class AnyPanel, class Kept>
void panel_moments(std::int64_t rows, std::int64_t cols, AnyPanel panel, const Kept* x, double* mean, double* m2) {
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
  repair_moments(rows, cols, panel, x, mean, m2);
}

template <class Kept>
void moments(std::int64_t rows, std::int64_t cols, const Kept* x, double* mean, double* m2) {
  for_panels(cols, [=](std::int64_t c, auto panel) { panel_moments(rows, cols, panel, x + c, mean + c, m2 + c); });
}

template <class Kept>
void normalize(std::int64_t rows, std::int64_t cols, const Kept* x, const float* mean, const float* factor,
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

// t = normalize + add for each vector of the matrix: body(i, lanes, t).
template <class Kept, class Body>
COARSEGRAD_INLINE void for_normalized(std::int64_t rows, std::int64_t cols, const Kept* x, const float* mean,
                                      const float* factor, const float* shift, const float* add, Body body) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    const auto lanes = panel.lanes;
    const auto m = load_columns(mean + c, panel), f = load_columns(factor + c, panel),
               s = load_columns(shift + c, panel);
    for_rows(rows, cols, c, panel, [=](std::int64_t i, int v) {
      const F32 t = (lanes.load(x + i) - m.vector[v]) * f.vector[v] + s.vector[v];
      body(i, lanes, add ? t + lanes.load(add + i) : t);
    });
  });
}

template <class Kept>
void normalize_relu(std::int64_t rows, std::int64_t cols, const Kept* x, const float* mean, const float* factor,
                    const float* shift, const float* add, float* y, std::uint8_t* mask) {
  for_normalized(rows, cols, x, mean, factor, shift, add, [=](std::int64_t i, auto lanes, F32 t) {
    const Mask positive = t > zero();
    if (mask) lanes.store_bits(mask + i / 8, positive);
    if (y) lanes.store(y + i, keep(positive | (t != t), t));
  });
}

template <class Kept>
bool normalize_quantize(std::int64_t rows, std::int64_t cols, const Kept* x, const float* mean, const float* factor,
                        const float* shift, const float* add, Quantizer<float> quantizer, PassBand<float> pass,
                        std::uint8_t* codes, std::uint8_t* mask) {
  return with_quantizer(quantizer, pass, [=](const auto& to) {
    Mask nan = first(0);
    for_normalized(rows, cols, x, mean, factor, shift, add, [=, &nan](std::int64_t i, auto lanes, F32 t) {
      const F32 q = to.quotient(t);
      nan = nan | (q != q);
      if (mask) lanes.store_bits(mask + i / 8, to.passes(q));
      to.store_code(lanes, codes + i, to.code(q));
    });
    return bits(nan) != 0;
  });
}

// Gives dy where the mask is 1, else 0.
template <class Kept>
struct Gate {
  const Kept* dy;
  const std::uint8_t* mask;
  template <class Lanes>
  COARSEGRAD_INLINE F32 load(std::int64_t i, Lanes lanes) const {
    return keep(lanes.load_bits(mask + i / 8), lanes.load(dy + i));
  }
  double at(std::int64_t i) const { return mask[i / 8] >> i % 8 & 1 ? to_double(dy[i]) : 0; }
};
template <class Kept>
struct NoGate {
  const Kept* dy;
  template <class Lanes>
  COARSEGRAD_INLINE F32 load(std::int64_t i, Lanes lanes) const {
    return lanes.load(dy + i);
  }
  double at(std::int64_t i) const { return to_double(dy[i]); }
};

template <class Kept, class AnyGate>
COARSEGRAD_INLINE void gated_sums(std::int64_t rows, std::int64_t cols, const Kept* x, AnyGate gate, const float* mean,
                                  double* sum_g, double* sum_gx, Kept* gated) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    double* const sums[] = {sum_g + c, sum_gx + c};
    const Kept* const px = x + c;
    const float* const pmean = mean + c;
    sum_panel(rows, cols, panel, sums, [=](std::int64_t i, std::int64_t j, auto lanes, F32(&s)[2]) {
      const F32 g = gate.load(c + i, lanes);
      if (gated) lanes.store(gated + c + i, g);
      s[0] = s[0] + g;
      s[1] = fma(g, lanes.load(px + i) - lanes.load(pmean + j), s[1]);
    });
    repair_overflow(rows, cols, panel, sums[0], [=](std::int64_t i, std::int64_t) { return gate.at(c + i); });
    repair_overflow(rows, cols, panel, sums[1], [=](std::int64_t i, std::int64_t j) {
      return gate.at(c + i) * (to_double(px[i]) - to_double(pmean[j]));
    });
  });
}

template <class Kept>
void backward_sums(std::int64_t rows, std::int64_t cols, const Kept* x, const Kept* dy, const std::uint8_t* mask,
                   const float* mean, double* sum_g, double* sum_gx, Kept* gated) {
  if (mask)
    gated_sums(rows, cols, x, Gate<Kept>{dy, mask}, mean, sum_g, sum_gx, gated);
  else
    gated_sums(rows, cols, x, NoGate<Kept>{dy}, mean, sum_g, sum_gx, gated);
}

template <class Kept, class AnyGate>
COARSEGRAD_INLINE void gated_backward(std::int64_t rows, std::int64_t cols, const Kept* x, AnyGate gate,
                                      const float* mean, const float* mean_g, const float* slope, const float* factor,
                                      Kept* dx) {
  for_panels(cols, [=](std::int64_t c, auto panel) {
    const auto lanes = panel.lanes;
    const auto m = load_columns(mean + c, panel), g = load_columns(mean_g + c, panel),
               s = load_columns(slope + c, panel), f = load_columns(factor + c, panel);
    for_rows(rows, cols, c, panel, [=](std::int64_t i, int v) {
      const F32 centered = lanes.load(x + i) - m.vector[v];
      lanes.store(dx + i, ((gate.load(i, lanes) - g.vector[v]) - centered * s.vector[v]) * f.vector[v]);
    });
  });
}

template <class Kept>
void backward(std::int64_t rows, std::int64_t cols, const Kept* x, const Kept* dy, const std::uint8_t* mask,
              const float* mean, const float* mean_g, const float* slope, const float* factor, Kept* dx) {
  if (mask)
    gated_backward(rows, cols, x, Gate<Kept>{dy, mask}, mean, mean_g, slope, factor, dx);
  else
    gated_backward(rows, cols, x, NoGate<Kept>{dy}, mean, mean_g, slope, factor, dx);
}

template <class Kept>
constexpr Norm<float, Kept> table{moments<Kept>,       normalize<Kept>, normalize_relu<Kept>, normalize_quantize<Kept>,
                                  backward_sums<Kept>, backward<Kept>};

}  // namespace

const Norm<float> norm = table<float>;
const NormOfBfloat16 norm_of_bfloat16 = table<Bfloat16>;

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
