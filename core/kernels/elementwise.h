#pragma once
// Kernels for simple sweeps over arrays and matrices. Everything but column_sums gives the same bits in every table.
#include <cstdint>

namespace coarsegrad::kernels {

/// Sweeps over arrays of n elements and over row-major matrices.
template <class T>
struct Elementwise {
  /// y = y + x.
  void (*accumulate)(std::int64_t n, const T* x, T* y);
  /// y = a * x. y may be x.
  void (*scale)(std::int64_t n, T a, const T* x, T* y);
  /// y[r][c] = x[r][c] + row[c]. y may be x.
  void (*add_row)(std::int64_t rows, std::int64_t cols, const T* row, const T* x, T* y);
  /// sums[c] = sum of column c. Agrees within kSumError (norm.h) times the sum of absolute values.
  void (*column_sums)(std::int64_t rows, std::int64_t cols, const T* x, double* sums);
};

}  // namespace coarsegrad::kernels
