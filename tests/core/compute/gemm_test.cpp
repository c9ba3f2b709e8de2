#include "core/compute/gemm.h"

#include <doctest/doctest.h>

#include <string>

#include "core/base/memory.h"
#include "core/kernels/kernels.h"
#include "tests/support/product_case.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

// Three nested sums with steps that no product of plain matrices has, and rows of C further apart than its columns.
template <class T>
kernels::ProductTile<T> nested_tile(int rows, int columns, const std::vector<T>& a, const std::vector<T>& b) {
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
  const auto a = filled<float>(400, fill, 5), b = filled<float>(1400, fill, 6), bias = filled<float>(64, fill, 7);
  kernels::ProductTile<float> tile = nested_tile(rows, columns, a, b);
  for (int start = 0; start < 3; ++start) {
    INFO("rows ", rows, " columns ", columns, " start ", start);
    std::vector<float> c(static_cast<std::size_t>(rows * tile.c_row), kBetweenRows), expected = c;
    tile.bias = start == 1 ? bias.data() : nullptr;
    tile.accumulate = start == 2;
    tile.c = expected.data();
    all_kernels().front()->real.matmul.tile(tile);
    tile.c = c.data();
    kernel.tile(tile);
    // Fused and separate roundings of 30 products below 1, each within half an epsilon of a partial sum below 108.
    float worst = 0;
    for (std::size_t i = 0; i < c.size(); ++i) worst = std::max(worst, std::abs(c[i] - expected[i]));
    CHECK(worst <= (fill == Fill::kIntegers ? 0 : 1e-4f));
  }
}

template <class T>
T sum_in_order(const kernels::ProductTile<T>& t, int i, int j) {
  T sum = t.accumulate ? t.c[i * t.c_row + j] : t.bias ? t.bias[j] : T{0};
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      for (std::int64_t first = 0; first < t.steps[2]; first += 32) {
        T some = 0;
        for (std::int64_t s2 = first; s2 < std::min(first + 32, t.steps[2]); ++s2)
          some += t.a[i * t.a_row + s0 * t.a_step[0] + s1 * t.a_step[1] + s2 * t.a_step[2]] *
                  t.b[j + s0 * t.b_step[0] + s1 * t.b_step[1] + s2 * t.b_step[2]];
        sum += some;
      }
  return sum;
}

template <class T>
void check_order(const kernels::Matmul<T>& kernel, int rows, int columns) {
  const auto a = filled<T>(400, Fill::kReals, 5), b = filled<T>(1400, Fill::kReals, 6),
             bias = filled<T>(64, Fill::kReals, 7);
  kernels::ProductTile<T> tile = nested_tile(rows, columns, a, b);
  for (int start = 0; start < 3; ++start) {
    INFO("rows ", rows, " columns ", columns, " start ", start);
    std::vector<T> c(static_cast<std::size_t>(rows * tile.c_row), T{kBetweenRows}), expected = c;
    tile.bias = start == 1 ? bias.data() : nullptr;
    tile.accumulate = start == 2;
    tile.c = c.data();
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j)
        expected[static_cast<std::size_t>(i * tile.c_row + j)] = sum_in_order(tile, i, j);
    kernel.tile(tile);
    CHECK(c == expected);
  }
}

}  // namespace

TEST_SUITE("gemm") {
  TEST_CASE(
      "the reference kernel sums 32 terms in a row, then these sums in the order of the loops, at every size, bit for "
      "bit") {
    for (int rows = 1; rows <= 3; ++rows)
      for (int columns = 1; columns <= 40; ++columns) {
        check_order(all_kernels().front()->real.matmul, rows, columns);
        check_order(real_kernels<double>().matmul, rows, columns);
      }
  }

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
          std::vector<float> to(20 * 21, kBetweenRows), expected = to;
          for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j)
              expected[static_cast<std::size_t>(j * 21 + i)] = from[static_cast<std::size_t>(i * 23 + j)];
          table->real.matmul.transpose(rows, columns, from.data(), 23, to.data(), 21);
          CHECK(to == expected);
        }
  }

  TEST_CASE("gemm in float: integers exactly, reals within the bound, at every size, on every kernel table") {
    with_each_table([] { check_all_sizes<float>(gemm<float>); });
  }

  TEST_CASE("gemm in double: integers exactly, reals within the bound, at every size") {
    check_all_sizes<double>(gemm<double>);
  }

  TEST_CASE("gemm on products that are cut into several tasks and blocks" * doctest::test_suite("gemm long")) {
    with_each_table([] {
      for (const ProductShape& p : kLarge) check_product<float>(gemm<float>, p);
    });
    for (const ProductShape& p : kLarge) check_product<double>(gemm<double>, p);
  }

  TEST_CASE("gemm gives the same bits with 1 and with 2 threads, and when called from inside a task") {
    with_each_table([] {
      for (const ProductShape& p : kLarge) check_same_bits(gemm<float>, p);
    });
  }

  TEST_CASE("long sums are cut into pieces, which are added to what was there, the same with 2 threads" *
            doctest::test_suite("gemm long")) {
    for (const ProductShape& p : kLongSums) {
      with_each_table([&] { check_product<float>(gemm<float>, p); });
      check_product<double>(gemm<double>, p);
      check_same_bits(gemm<float>, p);
    }
  }

  TEST_CASE("a row times a column takes no memory to speak of, and counts beyond 2^24" *
            doctest::test_suite("gemm long")) {
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

  TEST_CASE("the comparison catches a product that leaves out or repeats the last term, and a wrong element") {
    for (Fill fill : {Fill::kIntegers, Fill::kReals})
      for (std::int64_t k : {3, 17, 129, 1025}) {
        const ProductCase<float> c({31, 33, k}, fill);
        const std::vector<float> right = c.result(gemm<float>);
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
    const float one = 1;  // every row of both matrices
    with_each_table([&] {
      float sum = 0;
      gemm<float>(1, 1, kLong, {&one, 0, true}, {&one, 0}, &sum, 1);
      CHECK(sum == static_cast<float>(kLong));
    });
  }
}
