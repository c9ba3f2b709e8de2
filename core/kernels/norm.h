#pragma once
// Kernels over the columns of a row-major matrix: the statistics, the normalisation and the gradient of batch
// normalisation, alone or together with the activation behind it. One call does a contiguous run of rows;
// x[r * cols + c] is row r, column c.
#include <cstdint>

#include "core/kernels/activation.h"
#include "core/kernels/bfloat16.h"

namespace coarsegrad::kernels {

/// Sums of two tables agree within kSumError times the sum of absolute values: vector tables add up to kSumRows
/// floats before they go on in double, and start again in double where a float overflows. Products below the
/// smallest normal float may count as 0.
inline constexpr std::int64_t kSumRows = 64;
inline constexpr double kSumError = (kSumRows + 2) * 0x1p-24;

/// Batch normalisation. The elementwise kernels do the same operations in the same order in every table and agree bit
/// for bit. Masks hold one bit per element (core/kernels/activation.h); with one, cols is a multiple of 8. Everything is
/// computed in T; x and the gradients are kept as Kept, T or a narrower type that they are rounded to.
template <class T, class Kept = T>
struct Norm {
  /// mean[c] = mean of column c; m2[c] = sum of squared deviations from it. rows >= 1. No offset makes it
  /// inaccurate, and neither do squares beyond the range of floats: with k = rows / kSumRows + 1, m2 agrees
  /// within 2 k kSumError m2, the mean within kSumError sqrt(k m2 / rows).
  void (*moments)(std::int64_t rows, std::int64_t cols, const Kept* x, double* mean, double* m2);
  /// y = (x - mean) * factor + shift, column by column. y may be x where both are of one type, here and below.
  void (*normalize)(std::int64_t rows, std::int64_t cols, const Kept* x, const T* mean, const T* factor, const T* shift,
                    T* y);
  /// y = relu(t), t = normalize + add (add may be null); mask = t > 0. y and mask may be null, y may be x or add.
  void (*normalize_relu)(std::int64_t rows, std::int64_t cols, const Kept* x, const T* mean, const T* factor,
                         const T* shift, const T* add, T* y, std::uint8_t* mask);
  /// codes and mask of Activation::quantize for t = normalize + add; returns whether there is a NaN. add and mask may
  /// be null.
  bool (*normalize_quantize)(std::int64_t rows, std::int64_t cols, const Kept* x, const T* mean, const T* factor,
                             const T* shift, const T* add, Quantizer<T> quantizer, PassBand<T> pass,
                             std::uint8_t* codes, std::uint8_t* mask);
  /// With g = dy where the mask is 1, else 0 (dy without a mask): sum_g[c] = sum of g; sum_gx[c] = sum of g *
  /// (x - mean); gated = g, if not null.
  void (*backward_sums)(std::int64_t rows, std::int64_t cols, const Kept* x, const Kept* dy, const std::uint8_t* mask,
                        const T* mean, double* sum_g, double* sum_gx, Kept* gated);
  /// dx = ((g - mean_g) - (x - mean) * slope) * factor, column by column, with g as in backward_sums. dx may be dy.
  void (*backward)(std::int64_t rows, std::int64_t cols, const Kept* x, const Kept* dy, const std::uint8_t* mask,
                   const T* mean, const T* mean_g, const T* slope, const T* factor, Kept* dx);
};

/// Norm of float, with 16 bits in memory.
using NormOfBfloat16 = Norm<float, Bfloat16>;

}  // namespace coarsegrad::kernels
