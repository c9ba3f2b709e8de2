#include "core/matrix_product.h"

#include <cblas.h>
#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

CBLAS_TRANSPOSE order(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

blasint blas_extent(std::int64_t n) {
  constexpr std::int64_t kMost = std::numeric_limits<blasint>::max();
  check(n <= kMost, "matrix product: given ", n, " rows, columns, or elements from row to row, expected at most ",
        kMost, " where OpenBLAS multiplies");
  return static_cast<blasint>(n);
}

// The distance between rows: where there is only one nobody needs it, and it may be longer than BLAS can count.
blasint blas_ld(std::int64_t rows, std::int64_t length, std::int64_t ld) {
  return blas_extent(rows == 1 ? length : ld);
}

// op(M) is rows x columns.
template <class T>
blasint blas_ld(const Matrix<T>& m, std::int64_t rows, std::int64_t columns) {
  return m.transposed ? blas_ld(columns, rows, m.ld) : blas_ld(rows, columns, m.ld);
}

// OpenBLAS takes about 130 MB of address space for each thread that multiplies, and asks for ever where it gets none.
void expect_room_for_blas() {
  constexpr std::size_t kRoom = std::size_t{160} << 20;
  thread_local bool has_room = false;
  if (has_room) return;
  void* const room = mmap(nullptr, kRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(room != MAP_FAILED, "matrix product: given less than ", kRoom >> 20,
        " MB of address space, expected that much for each thread where OpenBLAS multiplies");
  munmap(room, kRoom);
  has_room = true;
}

// Debian's serial build is not made for calls from several threads at once: four threads that multiplied small matrices
// got one wrong product of a hundred.
std::mutex& one_call_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

template <class T>
void multiply_by_blas(const Product<T>& p) {
  expect_room_for_blas();
  const std::lock_guard lock(one_call_at_a_time());
  const auto multiply = [&](auto* cblas_gemm) {
    cblas_gemm(CblasRowMajor, order(p.a.transposed), order(p.b.transposed), blas_extent(p.m), blas_extent(p.n),
               blas_extent(p.k), T{1}, p.a.data, blas_ld(p.a, p.m, p.k), p.b.data, blas_ld(p.b, p.k, p.n),
               p.accumulate ? T{1} : T{0}, p.c, blas_ld(p.m, p.n, p.ldc));
  };
  if constexpr (std::is_same_v<T, float>)
    multiply(cblas_sgemm);
  else
    multiply(cblas_dgemm);
}

template <class T>
Product<T> some_rows(const Product<T>& p, TaskRange rows) {
  Product<T> some = p;
  some.m = rows.end - rows.begin;
  some.a.data += rows.begin * (p.a.transposed ? 1 : p.a.ld);
  some.c += rows.begin * p.ldc;
  return some;
}

template <class T>
Product<T> some_columns(const Product<T>& p, TaskRange columns) {
  Product<T> some = p;
  some.n = columns.end - columns.begin;
  some.b.data += columns.begin * (p.b.transposed ? p.b.ld : 1);
  some.c += columns.begin;
  return some;
}

// Cut along the longer side of C only. The library has no threads of its own (third_party/README.md), which
// would change the bits with their number, and compete with ours.
template <class T>
void multiply_parts_by_blas(const Product<T>& p) {
  constexpr std::int64_t kMaxParts = 16;
  const std::int64_t parts =
      std::clamp(p.m * p.n * p.k / kProductsPerTask, std::int64_t{1}, std::min(kMaxParts, std::max(p.m, p.n)));
  parallel_for(parts, [&](std::int64_t part) {
    multiply_by_blas(p.m >= p.n ? some_rows(p, part_of(p.m, parts, part)) : some_columns(p, part_of(p.n, parts, part)));
  });
}

thread_local bool as_deployed = false;

}  // namespace

DeployedProducts::DeployedProducts() : before_(std::exchange(as_deployed, true)) {}
DeployedProducts::~DeployedProducts() { as_deployed = before_; }

template <class T>
void matrix_product(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
                    bool accumulate) {
  const bool own = std::is_same_v<T, float> && as_deployed;
  if (own || real_kernels<T>().matmul.lanes > 0) return gemm<T>(m, n, k, a, b, c, ldc, accumulate);
  multiply_in_pieces(Product<T>{m, n, k, a, b, c, ldc, accumulate}, multiply_parts_by_blas<T>);
}

template void matrix_product(std::int64_t, std::int64_t, std::int64_t, Matrix<float>, Matrix<float>, float*,
                             std::int64_t, bool);
template void matrix_product(std::int64_t, std::int64_t, std::int64_t, Matrix<double>, Matrix<double>, double*,
                             std::int64_t, bool);

}  // namespace coarsegrad
