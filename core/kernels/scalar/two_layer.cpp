#include "core/kernels/two_layer.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

constexpr std::size_t kLanes = kGaussLanes;

void draw(std::uint64_t key, std::uint64_t stream, const TwoLayerModel& model, float* z, float* a, float* b) {
  const std::size_t row = model.row();
  sampling.normal(key, stream, 0, z, model.m * row * kLanes);
  for (std::size_t i = 0; i < model.m; ++i)
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      float student = 0, teacher = 0;
      for (std::size_t j = 0; j < model.n; ++j) {
        const float entry = z[(i * row + j) * kLanes + lane];
        student = std::fma(entry, model.w[j], student);
        teacher = std::fma(entry, model.w_star[j], teacher);
      }
      a[i * kLanes + lane] = student;
      b[i * kLanes + lane] = teacher;
    }
}

void residual(const TwoLayerModel& model, const float* a, const float* b, std::size_t valid, float* residual,
              float* grad_v_sum, float* grad_v_square) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    float r = 0;
    for (std::size_t i = 0; i < model.m; ++i) {
      if (a[i * kLanes + lane] > 0) r += model.v[i];
      if (b[i * kLanes + lane] > 0) r -= model.v_star[i];
    }
    residual[lane] = r = lane < valid ? r : 0;
    for (std::size_t i = 0; i < model.m; ++i)
      if (a[i * kLanes + lane] > 0) {
        grad_v_sum[i * kLanes + lane] += r;
        grad_v_square[i * kLanes + lane] = std::fma(r, r, grad_v_square[i * kLanes + lane]);
      }
  }
}

void gradient(const TwoLayerModel& model, std::size_t stes, const float* z, const float* residual,
              const float* directions, float* derivative, float* sum, float* square, float* along) {
  const std::size_t m = model.m, n = model.n;
  for (std::size_t k = 0; k < stes; ++k)
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (std::size_t i = 0; i < m; ++i) {
        float& weight = derivative[(k * m + i) * kLanes + lane];
        weight = weight * model.v[i] * residual[lane];
      }
      float first = 0, second = 0;
      for (std::size_t j = 0; j < n; ++j) {
        float g = 0;
        for (std::size_t i = 0; i < m; ++i)
          g = std::fma(derivative[(k * m + i) * kLanes + lane], z[(i * model.row() + j) * kLanes + lane], g);
        float& total = sum[(k * n + j) * kLanes + lane];
        float& total_square = square[(k * n + j) * kLanes + lane];
        total += g;
        total_square = std::fma(g, g, total_square);
        first = std::fma(g, directions[j], first);
        second = std::fma(g, directions[n + j], second);
      }
      along[2 * k * kLanes + lane] = first;
      along[(2 * k + 1) * kLanes + lane] = second;
    }
}

}  // namespace

const TwoLayer two_layer{draw, residual, gradient};

}  // namespace coarsegrad::kernels::scalar
