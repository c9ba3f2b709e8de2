#include "core/compute/gemm.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <type_traits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "tests/support/sums_of_products.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

struct Product {
  std::int64_t m, n, k;
  bool a_transposed = false, b_transposed = false, accumulate = false;
  std::int64_t gap = 0;  // row lengths exceed the matrices by this
};

constexpr float kGuard = 77;  // between the rows of C: must stay

// op(A) (m x k) or op(B) (k x n) as it lies in memory.
struct Operand {
  std::int64_t rows, cols, ld;
  Operand(std::int64_t r, std::int64_t c, bool transposed, std::int64_t gap)
      : rows(transposed ? c : r), cols(transposed ? r : c), ld(cols + gap) {}
  std::int64_t size() const { return rows * ld; }
  std::int64_t at(std::int64_t i, std::int64_t j, bool transposed) const {
    return transposed ? j * ld + i : i * ld + j;
  }
};

template <class T>
struct Case {
  Product p;
  Operand a_shape, b_shape;
  std::vector<T> a, b, c0;

  Case(const Product& product, Fill fill)
      : p(product),
        a_shape(p.m, p.k, p.a_transposed, p.gap),
        b_shape(p.k, p.n, p.b_transposed, p.gap),
        a(filled<T>(a_shape.size(), fill, 1)),
        b(filled<T>(b_shape.size(), fill, 2)),
        c0(filled<T>(p.m * p.n, fill, 3)) {}

  // C without the gaps between its rows, which are checked to be untouched.
  std::vector<T> result() const {
    const std::int64_t ldc = p.n + p.gap;
    std::vector<T> c(static_cast<std::size_t>(p.m * ldc), T{kGuard}), packed(c0.size());
    for (std::int64_t i = 0; i < p.m; ++i) std::copy_n(c0.data() + i * p.n, p.n, c.data() + i * ldc);
    gemm<T>(p.m, p.n, p.k, {a.data(), a_shape.ld, p.a_transposed}, {b.data(), b_shape.ld, p.b_transposed},
            c.data(), ldc, p.accumulate);
    bool untouched = true;
    for (std::int64_t i = 0; i < p.m; ++i) {
      std::copy_n(c.data() + i * ldc, p.n, packed.data() + i * p.n);
      for (std::int64_t j = p.n; j < ldc; ++j)
        untouched &= c[static_cast<std::size_t>(i * ldc + j)] == T{kGuard};
    }
    CHECK(untouched);
    return packed;
  }

  // `terms`: how many of the k products to sum.
  ReferenceSums reference(std::int64_t terms) const {
    ReferenceSums sums(p.m * p.n);
    for (std::int64_t i = 0; i < p.m; ++i)
      for (std::int64_t j = 0; j < p.n; ++j) {
        if (p.accumulate)
          sums.add(i * p.n + j, static_cast<double>(c0[static_cast<std::size_t>(i * p.n + j)]), 1);
        for (std::int64_t l = 0; l < terms; ++l)
          sums.add(i * p.n + j,
                   static_cast<double>(a[static_cast<std::size_t>(a_shape.at(i, l, p.a_transposed))]),
                   static_cast<double>(b[static_cast<std::size_t>(b_shape.at(l, j, p.b_transposed))]));
      }
    return sums;
  }
  double error() const { return worst_error(result(), reference(p.k)); }
};

template <class T>
void check_product(const Product& p) {
  for (Fill fill : {Fill::kIntegers, Fill::kReals}) {
    INFO("m ", p.m, " n ", p.n, " k ", p.k, " transposed ", p.a_transposed, " ", p.b_transposed,
         " accumulate ", p.accumulate, " gap ", p.gap, " integers ", fill == Fill::kIntegers);
    CHECK(Case<T>(p, fill).error() <= allowed_error(fill));
  }
}

// Calls f once for each kernel table that this processor runs, with that table active.
template <class F>
void with_each_table(F&& f) {
  for (const Kernels* table : all_kernels()) {
    INFO("kernels ", std::string(table->name));
    use_kernels(table->name);
    f();
  }
  use_kernels("auto");
}

const std::initializer_list<std::int64_t> kSizes = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63};

template <class T>
void check_all_sizes() {
  int turn =
      0;  // walks through transpositions, accumulation and gaps, so that every size meets every one of them
  for (std::int64_t m : kSizes)
    for (std::int64_t n : kSizes)
      for (std::int64_t k : kSizes) {
        const int t = turn++ % 13;
        check_product<T>({m, n, k, (t & 1) != 0, (t & 2) != 0, (t & 4) != 0, t % 3});
      }
  for (std::int64_t size : kSizes)
    for (int t = 0; t < 8; ++t)
      check_product<T>({size, 63 - size, size + 1, (t & 1) != 0, (t & 2) != 0, (t & 4) != 0, 1});
}

// Large enough for several tasks and several blocks in each direction.
const std::initializer_list<Product> kLarge = {{301, 129, 517},
                                               {128, 512, 1024, false, true},
                                               {128, 1024, 512},
                                               {512, 1024, 128, true},
                                               {128, 10, 512, false, true},
                                               {10, 512, 128, true},
                                               {700, 17, 300, true, true, true, 3},
                                               {17, 700, 1100, false, false, true, 5},
                                               {1, 1000, 1000},
                                               {1000, 1, 1000}};

// Three nested sums with steps that no product of plain matrices has, and rows of C further apart than its
// columns.
kernels::ProductTile<float> nested_tile(int rows, int columns, const std::vector<float>& a,
                                        const std::vector<float>& b) {
  return {.a = a.data(),
          .a_row = 7,
          .b = b.data(),
          .steps = {2, 3, 5},
          .a_step = {120, 31, 3},
          .b_step = {600, 190, 70},
          .c = nullptr,
          .c_row = columns + 3,
          .rows = rows,
          .columns = columns};
}

void check_tile(const kernels::Matmul<float>& kernel, int rows, int columns, Fill fill) {
  const auto a = filled<float>(400, fill, 5), b = filled<float>(1400, fill, 6),
             bias = filled<float>(64, fill, 7);
  kernels::ProductTile<float> tile = nested_tile(rows, columns, a, b);
  for (int start = 0; start < 3; ++start) {
    INFO("rows ", rows, " columns ", columns, " start ", start);
    std::vector<float> c(static_cast<std::size_t>(rows * tile.c_row), kGuard), expected = c;
    tile.bias = start == 1 ? bias.data() : nullptr;
    tile.accumulate = start == 2;
    tile.c = expected.data();
    all_kernels().front()->real.matmul.tile(tile);
    tile.c = c.data();
    kernel.tile(tile);
    // Fused and separate roundings of 30 products below 1, each within half an epsilon of a partial sum below
    // 108.
    float worst = 0;
    for (std::size_t i = 0; i < c.size(); ++i) worst = std::max(worst, std::abs(c[i] - expected[i]));
    CHECK(worst <= (fill == Fill::kIntegers ? 0 : 1e-4f));
  }
}

}  // namespace

TEST_SUITE("gemm") {
  TEST_CASE("tiles of every size agree with the reference kernel, and touch nothing beside them") {
    for (const Kernels* table : all_kernels()) {
      const kernels::Matmul<float>& kernel = table->real.matmul;
      INFO("kernels ", std::string(table->name));
      for (int columns = 1; columns <= kernels::Matmul<float>::kMaxVectors * kernel.lanes; ++columns) {
        const int most = kernel.max_rows[(columns + kernel.lanes - 1) / kernel.lanes];
        for (int rows = 1; rows <= most; ++rows)
          for (Fill fill : {Fill::kIntegers, Fill::kReals}) check_tile(kernel, rows, columns, fill);
      }
    }
  }

  TEST_CASE("transpositions of every size are exact on every kernel table") {
    for (const Kernels* table : all_kernels())
      for (std::int64_t rows = 0; rows <= 20; ++rows)
        for (std::int64_t columns = 0; columns <= 20; ++columns) {
          INFO("kernels ", std::string(table->name), " ", rows, "x", columns);
          const auto from = filled<float>(20 * 23, Fill::kReals, 8);
          std::vector<float> to(20 * 21, kGuard), expected = to;
          for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j)
              expected[static_cast<std::size_t>(j * 21 + i)] = from[static_cast<std::size_t>(i * 23 + j)];
          table->real.matmul.transpose(rows, columns, from.data(), 23, to.data(), 21);
          CHECK(to == expected);
        }
  }

  TEST_CASE("gemm in float: integers exactly, reals within the bound, at every size, on every kernel table") {
    with_each_table([] { check_all_sizes<float>(); });
  }

  TEST_CASE("gemm in double: integers exactly, reals within the bound, at every size") {
    check_all_sizes<double>();
  }

  TEST_CASE("gemm on products that are cut into several tasks and blocks") {
    with_each_table([] {
      for (const Product& p : kLarge) check_product<float>(p);
    });
    for (const Product& p : kLarge) check_product<double>(p);
  }

  TEST_CASE("gemm gives the same bits with 1 and with 2 threads, and when called from inside a task") {
    const int before = num_threads();
    with_each_table([] {
      for (const Product& p : kLarge) {
        INFO("m ", p.m, " n ", p.n, " k ", p.k);
        const Case<float> c(p, Fill::kReals);
        set_num_threads(1);
        const std::vector<float> serial = c.result();
        set_num_threads(2);
        CHECK(c.result() == serial);
        std::vector<float> nested[2];
        parallel_for(2, [&](std::int64_t task) { nested[task] = c.result(); });
        CHECK(nested[0] == serial);
        CHECK(nested[1] == serial);
      }
    });
    set_num_threads(before);
  }

  TEST_CASE("long sums are cut into pieces, which are added to what was there, the same with 2 threads") {
    const int before = num_threads();
    for (const Product& p : std::initializer_list<Product>{{1, 1, 200001},
                                                           {3, 2, 65537, false, true, true, 2},
                                                           {2, 35, 131073, true, false, true, 1},
                                                           {35, 1, 70000, true, true}}) {
      with_each_table([&] { check_product<float>(p); });
      check_product<double>(p);
      set_num_threads(1);
      const Case<float> c(p, Fill::kReals);
      const std::vector<float> serial = c.result();
      set_num_threads(2);
      CHECK(c.result() == serial);
      set_num_threads(before);
    }
  }

  TEST_CASE("a row times a column takes no memory to speak of, and counts beyond 2^24") {
    constexpr std::int64_t kLong = (std::int64_t{1} << 24) + 4096;
    const Scratch<float> ones(static_cast<std::size_t>(kLong));
    std::fill_n(ones.data(), kLong, 1.f);
    with_each_table([&] {
      pool_release();
      const std::size_t held = pool_stats().bytes_held;
      float sum = 0;
      gemm<float>(1, 1, kLong, {ones.data(), kLong}, {ones.data(), 1}, &sum, 1);
      CHECK(sum == static_cast<float>(kLong));
      gemm<float>(1, 1, kLong, {ones.data(), 1, true}, {ones.data(), kLong, true}, &sum, 1, true);
      CHECK(sum == 2 * static_cast<float>(kLong));
      CHECK(pool_stats().bytes_held - held <= std::size_t{16} << 20);
    });
  }

  TEST_CASE(
      "a product whose rows are further apart than OpenBLAS can count is refused, a single row is not") {
    constexpr std::int64_t kFar = std::int64_t{1} << 31;
    const double one = 1;
    double c = 0;
    gemm<double>(1, 1, 1, {&one, kFar}, {&one, kFar}, &c, kFar);
    CHECK(c == 1);
    CHECK_THROWS_WITH_AS(gemm<double>(2, 1, 1, {&one, kFar}, {&one, 1}, &c, 1),
                         doctest::Contains("gemm: given 2147483648 rows, columns"), Error);
  }

  TEST_CASE(
      "the comparison catches a product that leaves out or repeats the last term, and a wrong element") {
    for (Fill fill : {Fill::kIntegers, Fill::kReals})
      for (std::int64_t k : {3, 17, 129, 1025}) {
        const Case<float> c({31, 33, k}, fill);
        const std::vector<float> right = c.result();
        CHECK(worst_error(right, c.reference(k - 1)) > allowed_error(fill));
        ReferenceSums twice = c.reference(k);
        for (std::int64_t i = 0; i < 31; ++i)
          for (std::int64_t j = 0; j < 33; ++j)
            twice.add(i * 33 + j, static_cast<double>(c.a[static_cast<std::size_t>(i * k + k - 1)]),
                      static_cast<double>(c.b[static_cast<std::size_t>((k - 1) * 33 + j)]));
        CHECK(worst_error(right, twice) > allowed_error(fill));
        std::vector<float> wrong = right;
        wrong.back() = wrong[wrong.size() - 2] + 1;
        CHECK(worst_error(wrong, c.reference(k)) > allowed_error(fill));
        wrong.back() = std::numeric_limits<float>::quiet_NaN();
        CHECK(worst_error(wrong, c.reference(k)) > allowed_error(fill));
      }
  }
}

TEST_SUITE("slow") {
  TEST_CASE("a sum of more products than 31 bits can count") {
    constexpr std::int64_t kLong = (std::int64_t{1} << 31) + 1000;
    const float one = 1;  // every row of both matrices, on tables of our own
    for (const Kernels* table : all_kernels()) {
      if (table->real.matmul.lanes == 0) continue;
      use_kernels(table->name);
      float sum = 0;
      gemm<float>(1, 1, kLong, {&one, 0, true}, {&one, 0}, &sum, 1);
      CHECK(sum == static_cast<float>(kLong));
    }
    use_kernels("auto");
  }
}
