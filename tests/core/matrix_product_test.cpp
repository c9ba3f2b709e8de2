#include "core/matrix_product.h"

#include <doctest/doctest.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "tests/support/product_case.h"
#include "tests/support/tables.h"

extern "C" void openblas_set_num_threads(int threads);
extern "C" int openblas_get_num_threads();
extern "C" int openblas_get_parallel();  // 0: no threads of its own

using namespace coarsegrad;
using namespace coarsegrad::testing;

TEST_SUITE("matrix product") {
  TEST_CASE("matrix_product in float: integers exactly, reals within the bound, on every kernel table" *
            doctest::test_suite("matrix product long")) {
    with_each_table([] {
      check_all_sizes<float>(matrix_product<float>);
      for (const ProductShape& p : kLarge) check_product<float>(matrix_product<float>, p);
      for (const ProductShape& p : kLongSums) check_product<float>(matrix_product<float>, p);
    });
  }

  TEST_CASE("matrix_product in double: integers exactly, reals within the bound, at every size" *
            doctest::test_suite("matrix product long")) {
    check_all_sizes<double>(matrix_product<double>);
    for (const ProductShape& p : kLarge) check_product<double>(matrix_product<double>, p);
    for (const ProductShape& p : kLongSums) check_product<double>(matrix_product<double>, p);
  }

  TEST_CASE("matrix_product gives the same bits with 1 and with 2 threads, and when called from inside a task") {
    with_each_table([] {
      for (const ProductShape& p : kLarge) check_same_bits(matrix_product<float>, p);
    });
  }

  TEST_CASE("matrix_product: several threads of a program that multiply at once get what each gets alone") {
    constexpr std::int64_t n = 40;
    std::vector<double> a(n * n), alone(n * n);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i * 37 % 101) / 101;
    const auto multiply = [&a](std::vector<double>& c) {
      matrix_product<double>(n, n, n, {a.data(), n}, {a.data(), n, true}, c.data(), n);
    };
    multiply(alone);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        std::vector<double> c(n * n);
        for (int round = 0; round < 2000; ++round) {
          multiply(c);
          wrong += c != alone;
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }

  TEST_CASE("a product whose rows are further apart than OpenBLAS can count is refused, a single row is not") {
    constexpr std::int64_t kFar = std::int64_t{1} << 31;
    const double one = 1;
    double c = 0;
    matrix_product<double>(1, 1, 1, {&one, kFar}, {&one, kFar}, &c, kFar);
    CHECK(c == 1);
    CHECK_THROWS_WITH_AS(matrix_product<double>(2, 1, 1, {&one, kFar}, {&one, 1}, &c, 1),
                         doctest::Contains("matrix product: given 2147483648 rows, columns"), Error);
  }
}

TEST_SUITE("OpenBLAS") {
  TEST_CASE("the OpenBLAS that runs has no threads of its own, whichever others are installed") {
    CHECK(openblas_get_parallel() == 0);
    std::ifstream maps("/proc/self/maps");
    int places = 0;
    for (std::string line; std::getline(maps, line);)
      if (const std::size_t at = line.find("libopenblas"); at != std::string::npos) {
        ++places;
        CHECK_MESSAGE(line[at + std::string("libopenblas").size()] != 'p', line);
        CHECK_MESSAGE(line[at + std::string("libopenblas").size()] != 'o', line);
      }
    if (places == 0) MESSAGE("skipped: OpenBLAS is a part of this program");
  }

  TEST_CASE("a product in double leaves OpenBLAS the threads that the program gave it") {
    openblas_set_num_threads(2);
    const int before = openblas_get_num_threads();
    const double one = 1;
    double c = 0;
    matrix_product<double>(1, 1, 1, {&one, 1}, {&one, 1}, &c, 1);
    CHECK(openblas_get_num_threads() == before);
  }
}
