#pragma once
// Kernels over the columns of a row-major matrix: the statistics, the normalisation and the gradient of batch
// normalisation. One call does a contiguous run of rows; x[r * cols + c] is row r, column c.
#include <cstdint>

namespace coarsegrad::kernels {

/// The two elementwise kernels do the same operations in the same order in every table and agree bit for bit.
/// Sums agree within kSumError times the sum of absolute values: vector tables add up to kSumRows floats
/// before they go on in double.
inline constexpr std::int64_t kSumRows = 64;
inline constexpr double kSumError = (kSumRows + 2) * 0x1p-24;

template <class T>
struct Norm {
  /// mean[c] = mean of column c; m2[c] = sum of squared deviations from it. rows >= 1. No offset makes it
  /// inaccurate: with k = rows / kSumRows + 1, m2 agrees within 2 k kSumError m2, the mean within kSumError
  /// sqrt(k m2 / rows).
  void (*moments)(std::int64_t rows, std::int64_t cols, const T* x, double* mean, double* m2);
  /// y = (x - mean) * factor + shift, column by column. y may be x.
  void (*normalize)(std::int64_t rows, std::int64_t cols, const T* x, const T* mean, const T* factor,
                    const T* shift, T* y);
  /// sum_dy[c] = sum of dy; sum_dyx[c] = sum of dy * (x - mean).
  void (*backward_sums)(std::int64_t rows, std::int64_t cols, const T* x, const T* dy, const T* mean,
                        double* sum_dy, double* sum_dyx);
  /// dx = ((dy - mean_dy) - (x - mean) * slope) * factor, column by column. dx may be dy.
  void (*backward)(std::int64_t rows, std::int64_t cols, const T* x, const T* dy, const T* mean,
                   const T* mean_dy, const T* slope, const T* factor, T* dx);
};

}  // namespace coarsegrad::kernels
