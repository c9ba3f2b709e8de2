#include "core/compute/code_sweeps.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "core/base/check.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// n codes of all values, the extremes often.
template <class In>
std::vector<In> codes(std::int64_t n, unsigned seed) {
  using limits = std::numeric_limits<In>;
  std::mt19937 bits(seed);
  std::vector<In> values(at(n));
  for (In& v : values) {
    const auto word = bits();
    v = word % 8 == 0 ? limits::min() : word % 8 == 1 ? limits::max() : static_cast<In>(word >> 8);
  }
  return values;
}

template <class F>
void for_both_kinds(F&& f) {
  f(std::uint8_t{});
  f(std::int8_t{});
}

const std::vector<PoolShape> kPools = {
    {.batch = 2, .height = 4, .width = 6, .channels = 3, .kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2},
    {.batch = 1,
     .height = 7,
     .width = 5,
     .channels = 16,
     .kernel_h = 3,
     .kernel_w = 3,
     .stride_h = 2,
     .stride_w = 1,
     .pad_h = 1,
     .pad_w = 1},
    {.batch = 3,
     .height = 5,
     .width = 9,
     .channels = 70,
     .kernel_h = 3,
     .kernel_w = 2,
     .stride_h = 1,
     .stride_w = 3,
     .pad_h = 0,
     .pad_w = 1},
    {.batch = 1, .height = 1, .width = 1, .channels = 200, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1},
    {.batch = 0, .height = 2, .width = 2, .channels = 4, .kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2},
    {.batch = 33, .height = 8, .width = 8, .channels = 64, .kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2}};

}  // namespace

TEST_SUITE("codes") {
  TEST_CASE("the largest code of each window is that of floats, on every kernel table, 1 as 2 threads") {
    with_each_table([] {
      for_both_kinds([]<class In>(In) {
        for (const PoolShape& s : kPools) {
          INFO(s.height, "x", s.width, "x", s.channels);
          const auto x = codes<In>(s.batch * s.height * s.width * s.channels, 1);
          const std::int64_t outputs = s.batch * s.out_height() * s.out_width() * s.channels;
          const std::vector<float> reals(x.begin(), x.end());
          std::vector<float> highest(at(outputs));
          max_pool_forward(s, reals.data(), highest.data(), nullptr);
          std::vector<In> expected = output<In>(outputs);
          std::ranges::transform(highest, expected.begin(), [](float v) { return static_cast<In>(v); });
          const auto run = [&] {
            std::vector<In> y = output<In>(outputs);
            max_pool_codes(s, x.data(), y.data());
            return y;
          };
          CHECK(run() == expected);
          CHECK(same_with_two_threads(run));
        }
      });
    });
  }

  TEST_CASE("codes of an image are added up exactly, on every kernel table, 1 as 2 threads") {
    with_each_table([] {
      for_both_kinds([]<class In>(In) {
        for (const std::int64_t pixels : {0, 1, 64, 1000})
          for (const std::int64_t channels : {1, 7, 16, 33, 64, 100}) {
            const auto x = codes<In>(3 * pixels * channels, 1);
            std::vector<std::int32_t> expected = output<std::int32_t>(3 * channels);
            std::fill_n(expected.begin(), 3 * channels, 0);
            for (std::int64_t i = 0; i < std::ssize(x); ++i)
              expected[at(i / (pixels * channels) * channels + i % channels)] += x[at(i)];
            const auto run = [&] {
              std::vector<std::int32_t> sums = output<std::int32_t>(3 * channels);
              sum_codes(3, pixels, channels, x.data(), sums.data());
              return sums;
            };
            CHECK(run() == expected);
            CHECK(same_with_two_threads(run));
          }
      });
    });
  }

  TEST_CASE("sums of two arrays of codes are exact, and with scales those of the floats, on every kernel table") {
    with_each_table([] {
      for_both_kinds([]<class In>(In) {
        for (const std::int64_t n : {0, 1, 15, 16, 17, 63, 64, 100, 70'000}) {
          const auto a = codes<In>(n, 1), b = codes<In>(n, 2);
          const float p = 0.3f, q = -1.7f;
          std::vector<std::int16_t> sums = output<std::int16_t>(n), expected_sums = sums;
          std::vector<float> values = output<float>(n), expected_values = values;
          for (std::size_t i = 0; i < at(n); ++i) {
            expected_sums[i] = static_cast<std::int16_t>(a[i] + b[i]);
            const volatile float u = p * static_cast<float>(a[i]), v = q * static_cast<float>(b[i]);
            expected_values[i] = u + v;
          }
          add_codes(n, a.data(), b.data(), sums.data());
          CHECK(sums == expected_sums);
          add_scaled_codes(n, a.data(), p, b.data(), q, values.data());
          CHECK(same_bits(values, expected_values));
        }
      });
    });
  }

  TEST_CASE("impossible windows, negative sizes and sums that 32 bits do not hold are errors") {
    std::uint8_t x[4] = {};
    std::int32_t sums[1];
    CHECK_THROWS_AS(max_pool_codes({.batch = 1,
                                    .height = 1,
                                    .width = 1,
                                    .channels = 1,
                                    .kernel_h = 2,
                                    .kernel_w = 2,
                                    .stride_h = 1,
                                    .stride_w = 1},
                                   x, x),
                    Error);
    CHECK_THROWS_AS(sum_codes(-1, 1, 1, x, sums), Error);
    CHECK_THROWS_AS(sum_codes(1, -1, 1, x, sums), Error);
    CHECK_THROWS_AS(sum_codes(1, 1, -1, x, sums), Error);
    CHECK_THROWS_AS(sum_codes(1, (std::int64_t{1} << 23) + 1, 1, x, sums), Error);
  }
}
