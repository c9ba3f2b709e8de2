#include "core/base/gemm.h"

#include <cblas.h>

#include <algorithm>

#include "core/base/parallel.h"

namespace coarsegrad {
namespace {

// OpenBLAS's own threads would change the bits with their number, and would compete with ours.
void keep_blas_serial() { [[maybe_unused]] static const bool done = (openblas_set_num_threads(1), true); }

CBLAS_TRANSPOSE order(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

void blas_gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<float> a, Matrix<float> b, float* c,
               std::int64_t ldc, bool accumulate) {
  cblas_sgemm(CblasRowMajor, order(a.transposed), order(b.transposed), static_cast<blasint>(m),
              static_cast<blasint>(n), static_cast<blasint>(k), 1, a.data, static_cast<blasint>(a.ld), b.data,
              static_cast<blasint>(b.ld), accumulate ? 1 : 0, c, static_cast<blasint>(ldc));
}

void blas_gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<double> a, Matrix<double> b, double* c,
               std::int64_t ldc, bool accumulate) {
  cblas_dgemm(CblasRowMajor, order(a.transposed), order(b.transposed), static_cast<blasint>(m),
              static_cast<blasint>(n), static_cast<blasint>(k), 1, a.data, static_cast<blasint>(a.ld), b.data,
              static_cast<blasint>(b.ld), accumulate ? 1 : 0, c, static_cast<blasint>(ldc));
}

// Parts of C that one task computes: about 4 MFLOP and more, cut along the longer side only.
std::int64_t parts_of_product(std::int64_t m, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kProductsPerTask = std::int64_t{1} << 21, kMaxParts = 16;
  return std::clamp(m * n * k / kProductsPerTask, std::int64_t{1}, std::min(kMaxParts, std::max(m, n)));
}

}  // namespace

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
          bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (std::int64_t i = 0; !accumulate && i < m; ++i) std::fill_n(c + i * ldc, n, T{0});
    return;
  }
  keep_blas_serial();
  const std::int64_t parts = parts_of_product(m, n, k);
  parallel_for(parts, [&](std::int64_t part) {
    if (m >= n) {
      const Range rows = part_of(m, parts, part);
      const Matrix<T> some{a.data + rows.begin * (a.transposed ? 1 : a.ld), a.ld, a.transposed};
      blas_gemm(rows.end - rows.begin, n, k, some, b, c + rows.begin * ldc, ldc, accumulate);
    } else {
      const Range columns = part_of(n, parts, part);
      const Matrix<T> some{b.data + columns.begin * (b.transposed ? b.ld : 1), b.ld, b.transposed};
      blas_gemm(m, columns.end - columns.begin, k, a, some, c + columns.begin, ldc, accumulate);
    }
  });
}

template void gemm(std::int64_t, std::int64_t, std::int64_t, Matrix<float>, Matrix<float>, float*,
                   std::int64_t, bool);
template void gemm(std::int64_t, std::int64_t, std::int64_t, Matrix<double>, Matrix<double>, double*,
                   std::int64_t, bool);

}  // namespace coarsegrad
