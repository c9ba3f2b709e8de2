#pragma once
// A matrix product as one value, and how a long one is cut: what gemm() and the product by OpenBLAS share.
#include <algorithm>
#include <cstdint>

#include "core/base/memory.h"
#include "core/base/parallel.h"

namespace coarsegrad {

/// One operand M of a product, row-major, which is multiplied as op(M).
template <class T>
struct Matrix {
  const T* data;            ///< first value
  std::int64_t ld;          ///< values from row to row as they lie in memory
  bool transposed = false;  ///< op(M) is the transpose of what lies in memory
};

/// C = op(A) op(B), or C += op(A) op(B) with `accumulate`.
template <class T>
struct Product {
  std::int64_t m,           ///< rows of C and of op(A)
      n,                    ///< columns of C and of op(B)
      k;                    ///< columns of op(A), rows of op(B)
  Matrix<T> a,              ///< op(A) is m x k
      b;                    ///< op(B) is k x n
  T* c;                     ///< m x n, row-major
  std::int64_t ldc;         ///< values of C from row to row
  bool accumulate = false;  ///< adds to C as it is
};

/// Products that one task sums at least: 2^21 take about 10 to 30 microseconds.
inline constexpr std::int64_t kProductsPerTask = std::int64_t{1} << 21;

/// Products that are summed in one go, at most. Longer sums are summed in pieces of nearly equal length,
/// which are added up in double, in order: a panel that B fills with a single column takes a few megabytes
/// then, and the sum of many equal terms does not stop at 2^24 of them.
inline constexpr std::int64_t kLongestSum = std::int64_t{1} << 16;

/// The part of a product that sums over some of its depth.
template <class T>
Product<T> part_of_sum(const Product<T>& p, TaskRange depth) {
  Product<T> part = p;
  part.k = depth.end - depth.begin;
  part.a.data += depth.begin * (p.a.transposed ? p.a.ld : 1);
  part.b.data += depth.begin * (p.b.transposed ? 1 : p.b.ld);
  return part;
}

/// Computes the product by calls of multiply(part) with 1 <= part.k <= kLongestSum. Nothing is called where m
/// or n is 0; with k = 0 the product is zero.
template <class T, class F>
void multiply_in_pieces(const Product<T>& p, F&& multiply) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    for (std::int64_t i = 0; !p.accumulate && i < p.m; ++i) std::fill_n(p.c + i * p.ldc, p.n, T{0});
    return;
  }
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

}  // namespace coarsegrad
