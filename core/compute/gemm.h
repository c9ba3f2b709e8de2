#pragma once
// Matrix products. T is float or double. Bitwise the same for any number of threads.
#include <cstdint>

namespace coarsegrad {

/// One operand of a product, row-major with `ld` values from row to row; `transposed` reads it the other way
/// round.
template <class T>
struct Matrix {
  const T* data;
  std::int64_t ld;
  bool transposed = false;
};

/// C = A B, or C += A B with `accumulate`; C is m x n with row length ldc, op(A) is m x k, op(B) is k x n.
/// With k = 0 the product is zero. m, n or k may be 0. Working space is of the order of the operands, or a
/// few megabytes: more than 65536 products are summed in pieces, and those in double. Throws Error where
/// double, or the scalar table, needs more rows, columns, or elements from row to row than OpenBLAS can count
/// (2147483647).
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
          bool accumulate = false);

}  // namespace coarsegrad
