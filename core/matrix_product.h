#pragma once
// Matrix products of tensors' elements. T is float or double. Bitwise the same for any number of threads.
#include <cstdint>

#include "core/compute/gemm.h"

namespace coarsegrad {

/// C = op(A) op(B), or C += op(A) op(B) with `accumulate`, like gemm(): by the vector kernels of the active table, or,
/// where those do not cover T (double, and float on the scalar table), by OpenBLAS on parts of C. Which order OpenBLAS
/// sums in depends on the processor and on OPENBLAS_CORETYPE. Throws Error where OpenBLAS is to multiply and there are
/// more rows, columns, or elements from row to row than it can count (2147483647), or less than 160 MB of address space
/// for a thread.
template <class T>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
                    bool accumulate = false);

/// While it lives, matrix_product() of floats on this thread is gemm() with every table: a network in evaluation
/// computes as it is deployed, where there is no OpenBLAS.
class DeployedProducts {
 public:
  /// Begins here.
  DeployedProducts();
  /// Brings back what was there before.
  ~DeployedProducts();
  /// Not copied: each scope restores what it has found.
  DeployedProducts(const DeployedProducts&) = delete;
  DeployedProducts& operator=(const DeployedProducts&) = delete;

 private:
  const bool before_;
};

}  // namespace coarsegrad
