#include "core/kernels/two_layer.h"

#include "core/kernels/simd/gauss.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// The group's 16 lanes are one vector (avx512) or two that are worked on one after the other (avx2).

/// What draw_columns() works on: one row of Z, the lanes from `lane` on.
struct DrawTask {
  const PhiloxStream& stream;
  std::uint64_t counter;  // of the row's first pair of columns
  std::size_t lane;
  const TwoLayerModel& model;
  float* z;
};

/// `chains` pairs of columns from column j on, all of them less than n.
template <int chains>
COARSEGRAD_INLINE void draw_columns(const DrawTask& task, std::size_t j, F32& student, F32& teacher) {
  const Pairs<chains> pairs = normal_pairs<chains>(task.stream, task.counter + j / 2 * kGaussCounters, task.lane);
  for (int i = 0; i < chains; ++i, j += 2) {
    store(task.z + j * kGaussLanes + task.lane, pairs.cosine[i]);
    store(task.z + (j + 1) * kGaussLanes + task.lane, pairs.sine[i]);
    student = fma(pairs.cosine[i], set1(task.model.w[j]), student);
    teacher = fma(pairs.cosine[i], set1(task.model.w_star[j]), teacher);
    student = fma(pairs.sine[i], set1(task.model.w[j + 1]), student);
    teacher = fma(pairs.sine[i], set1(task.model.w_star[j + 1]), teacher);
  }
}

/// Draws one row of Z and stores its products with w and w*.
void draw_row(const DrawTask& task, float* a, float* b) {
  const std::size_t n = task.model.n;
  F32 student = zero(), teacher = zero();
  std::size_t j = 0;
  for (; j + 2 * kChains <= n; j += 2 * kChains) draw_columns<kChains>(task, j, student, teacher);
  for (; j + 4 <= n; j += 4) draw_columns<2>(task, j, student, teacher);
  if (j + 2 <= n) {
    draw_columns<1>(task, j, student, teacher);
    j += 2;
  }
  if (j < n) {
    const Pairs<1> pair = normal_pairs<1>(task.stream, task.counter + j / 2 * kGaussCounters, task.lane);
    store(task.z + j * kGaussLanes + task.lane, pair.cosine[0]);
    store(task.z + (j + 1) * kGaussLanes + task.lane, pair.sine[0]);
    student = fma(pair.cosine[0], set1(task.model.w[j]), student);
    teacher = fma(pair.cosine[0], set1(task.model.w_star[j]), teacher);
  }
  store(a + task.lane, student);
  store(b + task.lane, teacher);
}

// One PhiloxStream serves: Z in memory takes fewer than 2^32 counters, so that none carries.
void draw(std::uint64_t key, std::uint64_t stream, const TwoLayerModel& model, float* z, float* a, float* b) {
  const PhiloxStream s(key, stream, 0);
  const std::size_t row = model.row();
  for (std::size_t i = 0; i < model.m; ++i)
    for (std::size_t lane = 0; lane < kGaussLanes; lane += kLanes)
      draw_row({s, i * (row / 2) * kGaussCounters, lane, model, z + i * row * kGaussLanes}, a + i * kGaussLanes,
               b + i * kGaussLanes);
}

void residual(const TwoLayerModel& model, const float* a, const float* b, std::size_t valid, float* residual,
              float* grad_v_sum, float* grad_v_square) {
  for (std::size_t lane = 0; lane < kGaussLanes; lane += kLanes) {
    F32 r = zero();
    for (std::size_t i = 0; i < model.m; ++i) {
      r = r + keep(load(a + i * kGaussLanes + lane) > zero(), set1(model.v[i]));
      r = r - keep(load(b + i * kGaussLanes + lane) > zero(), set1(model.v_star[i]));
    }
    r = keep(first(valid > lane ? valid - lane : 0), r);
    store(residual + lane, r);
    for (std::size_t i = 0; i < model.m; ++i) {
      const std::size_t at = i * kGaussLanes + lane;
      const F32 g = keep(load(a + at) > zero(), r);
      store(grad_v_sum + at, load(grad_v_sum + at) + g);
      store(grad_v_square + at, fma(g, g, load(grad_v_square + at)));
    }
  }
}

/// What the inner function of gradient() works on: `stes` surrogates from one on, and the lanes from `lane` on.
struct GradientTask {
  std::size_t m, n, row;
  const float *z, *weights, *directions;  // weights: mu'_i v_i r
  float *sum, *square, *along;
};

/// Columns [j, j + columns) of Z.
template <int stes, int columns>
COARSEGRAD_INLINE void gradient_columns(const GradientTask& task, std::size_t j, F32 (&along)[stes][2]) {
  F32 g[stes][columns];
  for (int k = 0; k < stes; ++k)
    for (int c = 0; c < columns; ++c) g[k][c] = zero();
  const float* z = task.z + j * kGaussLanes;
  for (std::size_t i = 0; i < task.m; ++i, z += task.row * kGaussLanes) {
    F32 weight[stes];
    for (int k = 0; k < stes; ++k)
      weight[k] = load(task.weights + (static_cast<std::size_t>(k) * task.m + i) * kGaussLanes);
    for (int c = 0; c < columns; ++c) {
      const F32 entry = load(z + static_cast<std::size_t>(c) * kGaussLanes);
      for (int k = 0; k < stes; ++k) g[k][c] = fma(weight[k], entry, g[k][c]);
    }
  }
  for (int k = 0; k < stes; ++k)
    for (int c = 0; c < columns; ++c) {
      const std::size_t column = j + static_cast<std::size_t>(c);
      const std::size_t at = (static_cast<std::size_t>(k) * task.n + column) * kGaussLanes;
      store(task.sum + at, load(task.sum + at) + g[k][c]);
      store(task.square + at, fma(g[k][c], g[k][c], load(task.square + at)));
      along[k][0] = fma(g[k][c], set1(task.directions[column]), along[k][0]);
      along[k][1] = fma(g[k][c], set1(task.directions[task.n + column]), along[k][1]);
    }
}

template <int stes>
void gradient_lanes(const GradientTask& task) {
  constexpr int kColumns = kLanes == 16 ? 4 : 3;  // as many accumulators as the registers hold
  F32 along[stes][2];
  for (int k = 0; k < stes; ++k) along[k][0] = along[k][1] = zero();
  std::size_t j = 0;
  for (; j + kColumns <= task.n; j += kColumns) gradient_columns<stes, kColumns>(task, j, along);
  for (; j + 2 <= task.n; j += 2) gradient_columns<stes, 2>(task, j, along);
  if (j < task.n) gradient_columns<stes, 1>(task, j, along);
  for (std::size_t k = 0; k < stes; ++k)
    for (std::size_t d = 0; d < 2; ++d) store(task.along + (2 * k + d) * kGaussLanes, along[k][d]);
}

void gradient(const TwoLayerModel& model, std::size_t stes, const float* z, const float* residual,
              const float* directions, float* derivative, float* sum, float* square, float* along) {
  const std::size_t m = model.m, n = model.n;
  for (std::size_t lane = 0; lane < kGaussLanes; lane += kLanes) {
    const F32 r = load(residual + lane);
    for (std::size_t k = 0; k < stes; ++k)
      for (std::size_t i = 0; i < m; ++i) {
        float* weight = derivative + (k * m + i) * kGaussLanes + lane;
        store(weight, load(weight) * set1(model.v[i]) * r);
      }
    for (std::size_t k = 0; k < stes;) {
      const GradientTask task{m,
                              n,
                              model.row(),
                              z + lane,
                              derivative + k * m * kGaussLanes + lane,
                              directions,
                              sum + k * n * kGaussLanes + lane,
                              square + k * n * kGaussLanes + lane,
                              along + 2 * k * kGaussLanes + lane};
      const std::size_t together = stes - k < 3 ? stes - k : 3;
      if (together == 3)
        gradient_lanes<3>(task);
      else if (together == 2)
        gradient_lanes<2>(task);
      else
        gradient_lanes<1>(task);
      k += together;
    }
  }
}

}  // namespace

const TwoLayer two_layer{draw, residual, gradient};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
