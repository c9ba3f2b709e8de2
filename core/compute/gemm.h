#pragma once
// Matrix products by our own kernels. T is float or double. Bitwise the same for any number of threads.
#include <cstdint>

#include "core/compute/product.h"

namespace coarsegrad {

/// C = op(A) op(B), or C += op(A) op(B) with `accumulate`; C is m x n with row length ldc, op(A) is m x k, op(B) is k x
/// n. With k = 0 the product is zero. m, n or k may be 0. Working space is of the order of the operands, or a few
/// megabytes: more than 65536 products are summed in pieces, and those in double. In double, and on the scalar table,
/// about three times as slow as OpenBLAS: large products of that kind are core/matrix_product.h's.
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
          bool accumulate = false);

}  // namespace coarsegrad
