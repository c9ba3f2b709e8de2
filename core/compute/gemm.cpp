#include "core/compute/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

// OpenBLAS's own threads would change the bits with their number, and would compete with ours.
void keep_blas_serial() { [[maybe_unused]] static const bool done = (openblas_set_num_threads(1), true); }

CBLAS_TRANSPOSE order(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

blasint blas_extent(std::int64_t n) {
  constexpr std::int64_t kMost = std::numeric_limits<blasint>::max();
  check(n <= kMost, "gemm: given ", n, " rows, columns, or elements from row to row, expected at most ",
        kMost, " where OpenBLAS multiplies");
  return static_cast<blasint>(n);
}

// The distance between rows: where there is only one nobody needs it, and it may be longer than BLAS can
// count.
blasint blas_ld(std::int64_t rows, std::int64_t length, std::int64_t ld) {
  return blas_extent(rows == 1 ? length : ld);
}

// op(M) is rows x columns.
template <class T>
blasint blas_ld(const Matrix<T>& m, std::int64_t rows, std::int64_t columns) {
  return m.transposed ? blas_ld(columns, rows, m.ld) : blas_ld(rows, columns, m.ld);
}

void blas_gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<float> a, Matrix<float> b, float* c,
               std::int64_t ldc, bool accumulate) {
  cblas_sgemm(CblasRowMajor, order(a.transposed), order(b.transposed), blas_extent(m), blas_extent(n),
              blas_extent(k), 1, a.data, blas_ld(a, m, k), b.data, blas_ld(b, k, n), accumulate ? 1 : 0, c,
              blas_ld(m, n, ldc));
}

void blas_gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<double> a, Matrix<double> b, double* c,
               std::int64_t ldc, bool accumulate) {
  cblas_dgemm(CblasRowMajor, order(a.transposed), order(b.transposed), blas_extent(m), blas_extent(n),
              blas_extent(k), 1, a.data, blas_ld(a, m, k), b.data, blas_ld(b, k, n), accumulate ? 1 : 0, c,
              blas_ld(m, n, ldc));
}

// Products that one task sums at least: 2^21 take about 10 to 30 microseconds.
constexpr std::int64_t kProductsPerTask = std::int64_t{1} << 21;

/// Everything a product is made of, so that it can be handed on whole.
template <class T>
struct Product {
  std::int64_t m, n, k;
  Matrix<T> a, b;
  T* c;
  std::int64_t ldc;
  bool accumulate;
};

// OpenBLAS on parts of C, cut along the longer side only.
template <class T>
void product_by_blas(const Product<T>& p) {
  keep_blas_serial();
  constexpr std::int64_t kMaxParts = 16;
  const std::int64_t parts = std::clamp(p.m * p.n * p.k / kProductsPerTask, std::int64_t{1},
                                        std::min(kMaxParts, std::max(p.m, p.n)));
  parallel_for(parts, [&](std::int64_t part) {
    if (p.m >= p.n) {
      const TaskRange rows = part_of(p.m, parts, part);
      const Matrix<T> some{p.a.data + rows.begin * (p.a.transposed ? 1 : p.a.ld), p.a.ld, p.a.transposed};
      blas_gemm(rows.end - rows.begin, p.n, p.k, some, p.b, p.c + rows.begin * p.ldc, p.ldc, p.accumulate);
    } else {
      const TaskRange columns = part_of(p.n, parts, part);
      const Matrix<T> some{p.b.data + columns.begin * (p.b.transposed ? p.b.ld : 1), p.b.ld, p.b.transposed};
      blas_gemm(p.m, columns.end - columns.begin, p.k, p.a, some, p.c + columns.begin, p.ldc, p.accumulate);
    }
  });
}

// Our own kernels. B is packed once into panels as wide as a tile: k rows of neighbouring columns, so that a
// tile reads it as one stream. A tile's rows of A are packed just before they are used, kDepth of k at a
// time: they fit into the first-level cache and serve all panels of a task from there.
constexpr int kPanelVectors = 2;
constexpr std::int64_t kDepth = 512;
constexpr std::int64_t kPadding = 16;  // keeps the packed rows of A from competing for the same cache lines
constexpr std::int64_t kPanelsPerTask = 8;
constexpr std::int64_t kElementsPerTask = std::int64_t{1} << 16;  // for packing
// Elements from one k to the next where the packed rows of A lie side by side: at least the rows of any tile.
constexpr std::int64_t kSideBySide = 16;

template <class T>
class PackedProduct {
 public:
  PackedProduct(const Product<T>& product, const kernels::Matmul<T>& kernel)
      : p_(product),
        kernel_(kernel),
        width_(kPanelVectors * kernel.lanes),
        panels_((p_.n + width_ - 1) / width_),
        packed_b_(static_cast<std::size_t>(panels_ * width_ * p_.k)) {}

  void compute() {
    const std::int64_t parts = std::clamp(p_.n * p_.k / kElementsPerTask, std::int64_t{1}, panels_);
    parallel_for(parts, [&](std::int64_t part) {
      const TaskRange some = part_of(panels_, parts, part);
      for (std::int64_t i = some.begin; i < some.end; ++i) pack_b(i);
    });
    const std::int64_t tasks = std::max(p_.m * p_.n * p_.k / kProductsPerTask, std::int64_t{1});
    const std::int64_t groups = std::min((panels_ + kPanelsPerTask - 1) / kPanelsPerTask, tasks);
    const std::int64_t bands = std::min((tasks + groups - 1) / groups, (p_.m + max_rows() - 1) / max_rows());
    parallel_for(groups * bands, [&](std::int64_t task) {
      compute_block(part_of(p_.m, bands, task % bands), part_of(panels_, groups, task / bands));
    });
  }

 private:
  int max_rows() const { return kernel_.max_rows[kPanelVectors]; }
  T* panel(std::int64_t i) const { return packed_b_.data() + i * width_ * p_.k; }
  std::int64_t columns(std::int64_t i) const { return std::min(width_, p_.n - i * width_); }

  void pack_b(std::int64_t i) const {
    const Matrix<T>& b = p_.b;
    if (b.transposed)
      kernel_.transpose(columns(i), p_.k, b.data + i * width_ * b.ld, b.ld, panel(i), width_);
    else
      for (std::int64_t l = 0; l < p_.k; ++l)
        std::copy_n(b.data + l * b.ld + i * width_, columns(i), panel(i) + l * width_);
  }

  // op(A) at some rows and depth, in the order it has in memory. Steps of 16 elements copy faster than exact
  // ones.
  void pack_a(TaskRange rows, TaskRange depth, T* to) const {
    const std::int64_t height = rows.end - rows.begin, ld = p_.a.ld;
    if (!p_.a.transposed) {
      for (std::int64_t i = 0; i < height; ++i, to += kDepth + kPadding)
        std::copy_n(p_.a.data + (rows.begin + i) * ld + depth.begin, depth.end - depth.begin, to);
      return;
    }
    const bool room = rows.begin + kSideBySide <= p_.m;
    for (std::int64_t l = depth.begin; l < depth.end; ++l, to += kSideBySide)
      if (room)
        std::copy_n(p_.a.data + l * ld + rows.begin, kSideBySide, to);
      else
        std::copy_n(p_.a.data + l * ld + rows.begin, height, to);
  }

  void compute_block(TaskRange rows, TaskRange panels) const {
    const std::int64_t tiles = (rows.end - rows.begin + max_rows() - 1) / max_rows();
    const std::int64_t depths = (p_.k + kDepth - 1) / kDepth;
    const Scratch<T> packed_a(static_cast<std::size_t>(kSideBySide * (kDepth + kPadding)));
    for (std::int64_t d = 0; d < depths; ++d) {
      const TaskRange depth = part_of(p_.k, depths, d);
      for (std::int64_t t = 0; t < tiles; ++t) {
        const TaskRange part = part_of(rows.end - rows.begin, tiles, t);
        const TaskRange tile_rows{rows.begin + part.begin, rows.begin + part.end};
        pack_a(tile_rows, depth, packed_a.data());
        for (std::int64_t i = panels.begin; i < panels.end; ++i)
          multiply(tile_rows, depth, packed_a.data(), i);
      }
    }
  }

  void multiply(TaskRange rows, TaskRange depth, const T* packed_a, std::int64_t i) const {
    kernel_.tile({.a = packed_a,
                  .a_row = p_.a.transposed ? 1 : kDepth + kPadding,
                  .b = panel(i) + depth.begin * width_,
                  .steps = {1, 1, depth.end - depth.begin},
                  .a_step = {0, 0, p_.a.transposed ? kSideBySide : 1},
                  .b_step = {0, 0, width_},
                  .c = p_.c + rows.begin * p_.ldc + i * width_,
                  .c_row = p_.ldc,
                  .rows = static_cast<int>(rows.end - rows.begin),
                  .columns = static_cast<int>(columns(i)),
                  .accumulate = p_.accumulate || depth.begin > 0});
  }

  const Product<T>& p_;
  const kernels::Matmul<T>& kernel_;
  std::int64_t width_, panels_;
  Scratch<T> packed_b_;
};

// Products that are summed in one go, at most. Longer sums are summed in pieces of nearly equal length, which
// are added up in double, in order: a panel that B fills with a single column takes a few megabytes then, and
// the sum of many equal terms does not stop at 2^24 of them.
constexpr std::int64_t kLongestSum = std::int64_t{1} << 16;

template <class T>
void multiply(const Product<T>& product) {
  const kernels::Matmul<T>& kernel = real_kernels<T>().matmul;
  if (kernel.lanes > 0)
    PackedProduct<T>(product, kernel).compute();
  else
    product_by_blas(product);
}

// The part of a product that sums over some of its depth.
template <class T>
Product<T> part_of_sum(const Product<T>& p, TaskRange depth) {
  Product<T> part = p;
  part.k = depth.end - depth.begin;
  part.a.data += depth.begin * (p.a.transposed ? p.a.ld : 1);
  part.b.data += depth.begin * (p.b.transposed ? 1 : p.b.ld);
  return part;
}

template <class T>
void multiply_in_pieces(const Product<T>& p) {
  const std::int64_t pieces = (p.k + kLongestSum - 1) / kLongestSum;
  if (pieces == 1) return multiply(p);
  const auto elements = static_cast<std::size_t>(p.m * p.n);
  const Scratch<T> sums(elements);
  const Scratch<double> totals(elements);
  std::fill_n(totals.data(), elements, 0.0);
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    Product<T> part = part_of_sum(p, part_of(p.k, pieces, piece));
    part.c = sums.data();
    part.ldc = p.n;
    part.accumulate = false;
    multiply(part);
    for (std::size_t i = 0; i < elements; ++i) totals[i] += static_cast<double>(sums[i]);
  }
  for (std::int64_t i = 0; i < p.m; ++i)
    for (std::int64_t j = 0; j < p.n; ++j) {
      T& c = p.c[i * p.ldc + j];
      const double before = p.accumulate ? static_cast<double>(c) : 0;
      c = static_cast<T>(before + totals.data()[i * p.n + j]);
    }
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
  multiply_in_pieces(Product<T>{m, n, k, a, b, c, ldc, accumulate});
}

template void gemm(std::int64_t, std::int64_t, std::int64_t, Matrix<float>, Matrix<float>, float*,
                   std::int64_t, bool);
template void gemm(std::int64_t, std::int64_t, std::int64_t, Matrix<double>, Matrix<double>, double*,
                   std::int64_t, bool);

}  // namespace coarsegrad
