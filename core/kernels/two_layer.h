#pragma once
// Monte Carlo of the two-linear-layer model with Gaussian input (Yin, Lyu, Zhang, Osher, Qi, Xin:
// Understanding straight-through estimator in training activation quantized neural nets, ICLR 2019):
//   y(Z) = v' sigma(Z w), Z an m x n matrix of N(0, 1) entries, sigma(x) = 1 for x > 0, else 0; teacher (v*,
//   w*); residual r = y(Z) - y*(Z), coarse gradient g = Z' (mu'(Z w) . v) r with a surrogate's derivative
//   mu'.
// The kernels work on one group of 16 samples, one per lane: "x lanes" below is an innermost axis of
// kGaussLanes values. All tables give the same bits, by the same means as the sampling kernels (sampling.h).
#include <cstddef>
#include <cstdint>

#include "core/kernels/sampling.h"

namespace coarsegrad::kernels {

/// Weights of the student and of the teacher.
struct TwoLayerModel {
  std::size_t m,   ///< hidden units, rows of Z, >= 1
      n;           ///< inputs, columns of Z, >= 1
  const float *v,  ///< second layer of the student, m values
      *w,          ///< first layer of the student, n values
      *v_star,     ///< second layer of the teacher, m values
      *w_star;     ///< first layer of the teacher, n values

  /// Length of a row of Z in memory: n rounded up to even, because variates come in pairs.
  [[gnu::always_inline]] constexpr std::size_t row() const { return (n + 1) / 2 * 2; }
};

/// One group of samples of the model and its coarse gradients.
struct TwoLayer {
  /// z (m x row() x lanes) = the first variates of Sampling::normal(key, stream, 0); the last column is
  /// surplus if n is odd. a = Z w and b = Z w* (m x lanes), each summed over j = 0, 1, ... by fused
  /// multiply-adds from 0.
  void (*draw)(std::uint64_t key, std::uint64_t stream, const TwoLayerModel& model, float* z, float* a, float* b);

  /// residual (lanes) = sum over i of v_i sigma(a_i) - v*_i sigma(b_i), and 0 in the lanes from `valid` on.
  /// grad_v_sum and grad_v_square (m x lanes) += sigma(a_i) residual and its square.
  void (*residual)(const TwoLayerModel& model, const float* a, const float* b, std::size_t valid, float* residual,
                   float* grad_v_sum, float* grad_v_square);

  /// For each of `stes` surrogates: given derivative (stes x m x lanes) = mu'(a), which is overwritten,
  ///   g_j = sum over i of (mu'_i v_i r) z_ij, by fused multiply-adds from 0 in the order of i;
  /// sum and square (stes x n x lanes) += g_j and g_j^2; along (stes x 2 x lanes) = sum over j of g_j
  /// directions_dj for the two directions (2 x n).
  void (*gradient)(const TwoLayerModel& model, std::size_t stes, const float* z, const float* residual,
                   const float* directions, float* derivative, float* sum, float* square, float* along);
};

}  // namespace coarsegrad::kernels
