#pragma once
// For tests of what multiplies matrices: shapes, operands as they lie in memory, and the definition.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/product.h"
#include "tests/support/sums_of_products.h"

namespace coarsegrad::testing {

/// C += op(A) op(B), or C = op(A) op(B), and how the matrices lie in memory.
struct ProductShape {
  std::int64_t m, n, k;
  bool a_transposed = false, b_transposed = false, accumulate = false;
  std::int64_t gap = 0;  // row lengths exceed the matrices by this
};

inline constexpr float kBetweenRows = 77;  // lies between the rows of C, and must stay

/// op(A) (m x k) or op(B) (k x n) as it lies in memory.
struct Operand {
  std::int64_t rows, cols, ld;
  Operand(std::int64_t r, std::int64_t c, bool transposed, std::int64_t gap)
      : rows(transposed ? c : r), cols(transposed ? r : c), ld(cols + gap) {}
  std::int64_t size() const { return rows * ld; }
  std::int64_t at(std::int64_t i, std::int64_t j, bool transposed) const {
    return transposed ? j * ld + i : i * ld + j;
  }
};

/// What multiplies: gemm<T>, matrix_product<T>.
template <class T>
using Multiply = void(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
                      bool accumulate);

template <class T>
struct ProductCase {
  ProductShape p;
  Operand a_shape, b_shape;
  std::vector<T> a, b, c0;

  ProductCase(const ProductShape& product, Fill fill)
      : p(product),
        a_shape(p.m, p.k, p.a_transposed, p.gap),
        b_shape(p.k, p.n, p.b_transposed, p.gap),
        a(filled<T>(a_shape.size(), fill, 1)),
        b(filled<T>(b_shape.size(), fill, 2)),
        c0(filled<T>(p.m * p.n, fill, 3)) {}

  /// C without the gaps between its rows, which are checked to be untouched.
  std::vector<T> result(Multiply<T> multiply) const {
    const std::int64_t ldc = p.n + p.gap;
    std::vector<T> c(static_cast<std::size_t>(p.m * ldc), T{kBetweenRows}), packed(c0.size());
    for (std::int64_t i = 0; i < p.m; ++i) std::copy_n(c0.data() + i * p.n, p.n, c.data() + i * ldc);
    multiply(p.m, p.n, p.k, {a.data(), a_shape.ld, p.a_transposed}, {b.data(), b_shape.ld, p.b_transposed}, c.data(),
             ldc, p.accumulate);
    bool untouched = true;
    for (std::int64_t i = 0; i < p.m; ++i) {
      std::copy_n(c.data() + i * ldc, p.n, packed.data() + i * p.n);
      for (std::int64_t j = p.n; j < ldc; ++j) untouched &= c[static_cast<std::size_t>(i * ldc + j)] == T{kBetweenRows};
    }
    CHECK(untouched);
    return packed;
  }

  /// `terms`: how many of the k products to sum.
  ReferenceSums reference(std::int64_t terms) const {
    ReferenceSums sums(p.m * p.n);
    for (std::int64_t i = 0; i < p.m; ++i)
      for (std::int64_t j = 0; j < p.n; ++j) {
        if (p.accumulate) sums.add(i * p.n + j, static_cast<double>(c0[static_cast<std::size_t>(i * p.n + j)]), 1);
        for (std::int64_t l = 0; l < terms; ++l)
          sums.add(i * p.n + j, static_cast<double>(a[static_cast<std::size_t>(a_shape.at(i, l, p.a_transposed))]),
                   static_cast<double>(b[static_cast<std::size_t>(b_shape.at(l, j, p.b_transposed))]));
      }
    return sums;
  }
  double error(Multiply<T> multiply) const { return worst_error(result(multiply), reference(p.k)); }
};

template <class T>
void check_product(Multiply<T> multiply, const ProductShape& p) {
  for (Fill fill : {Fill::kIntegers, Fill::kReals}) {
    INFO("m ", p.m, " n ", p.n, " k ", p.k, " transposed ", p.a_transposed, " ", p.b_transposed, " accumulate ",
         p.accumulate, " gap ", p.gap, " integers ", fill == Fill::kIntegers);
    CHECK(ProductCase<T>(p, fill).error(multiply) <= allowed_error(fill));
  }
}

inline const std::initializer_list<std::int64_t> kSizes = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63};

template <class T>
void check_all_sizes(Multiply<T> multiply) {
  // Walks through transpositions, accumulation and gaps, so that every size meets every one of them.
  int turn = 0;
  for (std::int64_t m : kSizes)
    for (std::int64_t n : kSizes)
      for (std::int64_t k : kSizes) {
        const int t = turn++ % 13;
        check_product<T>(multiply, {m, n, k, (t & 1) != 0, (t & 2) != 0, (t & 4) != 0, t % 3});
      }
  for (std::int64_t size : kSizes)
    for (int t = 0; t < 8; ++t)
      check_product<T>(multiply, {size, 63 - size, size + 1, (t & 1) != 0, (t & 2) != 0, (t & 4) != 0, 1});
}

/// Large enough for several tasks and several blocks in each direction.
inline const std::initializer_list<ProductShape> kLarge = {{301, 129, 517},
                                                           {128, 512, 1024, false, true},
                                                           {128, 1024, 512},
                                                           {512, 1024, 128, true},
                                                           {128, 10, 512, false, true},
                                                           {10, 512, 128, true},
                                                           {700, 17, 300, true, true, true, 3},
                                                           {17, 700, 1100, false, false, true, 5},
                                                           {1, 1000, 1000},
                                                           {1000, 1, 1000}};

/// Sums of more products than are summed in one go.
inline const std::initializer_list<ProductShape> kLongSums = {{1, 1, 200001},
                                                              {3, 2, 65537, false, true, true, 2},
                                                              {2, 35, 131073, true, false, true, 1},
                                                              {35, 1, 70000, true, true}};

/// Checks that a product has the same bits with 1 and with 2 threads, and when called from inside a task.
inline void check_same_bits(Multiply<float> multiply, const ProductShape& p) {
  INFO("m ", p.m, " n ", p.n, " k ", p.k);
  const int before = num_threads();
  const ProductCase<float> c(p, Fill::kReals);
  set_num_threads(1);
  const std::vector<float> serial = c.result(multiply);
  set_num_threads(2);
  CHECK(c.result(multiply) == serial);
  std::vector<float> nested[2];
  parallel_for(2, [&](std::int64_t task) { nested[task] = c.result(multiply); });
  CHECK(nested[0] == serial);
  CHECK(nested[1] == serial);
  set_num_threads(before);
}

}  // namespace coarsegrad::testing
