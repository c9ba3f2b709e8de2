#pragma once
// Kernels for transcendental functions. The scalar table calls the C library; the vector tables stay within
// the bounds below of the true value, for all floats. Results below the smallest normal number may come out
// as 0, and subnormal arguments may be read as 0. NaN gives NaN.
#include <cstdint>

namespace coarsegrad::kernels {

/// Largest relative error in units of 2^-23, found by trying every float up to 128 in size (log: every float).
inline constexpr double kExpUlp = 0.8, kLogUlp = 0.75, kTanhUlp = 1.6, kSigmoidUlp = 1.3;

/// Transcendental functions of n elements, and softmax of the rows of a matrix. y may be x in all of them.
template <class T>
struct Math {
  /// y = e^x, within kExpUlp.
  void (*exp)(std::int64_t n, const T* x, T* y);
  /// y = ln x, within kLogUlp; -inf for 0, NaN below 0.
  void (*log)(std::int64_t n, const T* x, T* y);
  /// y = tanh x, within kTanhUlp.
  void (*tanh)(std::int64_t n, const T* x, T* y);
  /// y = 1 / (1 + exp(-x)), within kSigmoidUlp.
  void (*sigmoid)(std::int64_t n, const T* x, T* y);
  /// Row by row: y = exp(x - max) / sum. A row with a NaN or +inf, or of -inf alone, becomes NaN. Relative
  /// error: 2^-24 (8 + |x - max| + cols / 8).
  void (*softmax)(std::int64_t rows, std::int64_t cols, const T* x, T* y);
  /// Row by row: y = (x - max) - log(sum of exp(x - max)). NaN where softmax gives it. Absolute
  /// error: 2^-24 (8 + 2 |y| + cols / 8).
  void (*log_softmax)(std::int64_t rows, std::int64_t cols, const T* x, T* y);
};

}  // namespace coarsegrad::kernels
