// Fixed levels of 1 to 3 bits.
#include "quant/math/level_set.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"

using namespace coarsegrad;

TEST_SUITE("quant") {
  TEST_CASE("level sets: the levels of 1 to 3 bits, midpoints away from zero") {
    const auto levels = [](const LevelSet& set) {
      return std::vector<double>(set.levels().begin(), set.levels().end());
    };
    CHECK(levels(level_set(1)) == std::vector<double>{-1, 1});
    CHECK(levels(level_set(2)) == std::vector<double>{-1, 0, 1});
    CHECK(levels(level_set(3)) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
    CHECK(levels(level_set(3, ThreeBits::three_powers)) == std::vector<double>{-1, -0.5, -0.25, 0, 0.25, 0.5, 1});
    CHECK(level_set(1).nearest(0) == 1);
    CHECK(level_set(1).nearest(-1e-300) == -1);
    CHECK(level_set(2).nearest(0.5) == 1);
    CHECK(level_set(2).nearest(-0.5) == -1);
    CHECK(level_set(2).nearest(-0.4999) == 0);
    CHECK(level_set(3).nearest(7) == 1);
    CHECK(level_set(3, ThreeBits::three_powers).least_step() == 0.25);
    CHECK(level_set(3, ThreeBits::three_powers).greatest_step() == 0.5);
    CHECK(level_scale("fitted") == LevelScale::fitted);
    CHECK(level_scale("mean") == LevelScale::mean);
    CHECK_THROWS_AS(level_scale("median"), UsageError);
    CHECK_THROWS_AS(level_set(0), UsageError);
    CHECK_THROWS_AS(level_set(4), UsageError);
    CHECK_THROWS_AS(LevelSet({1}), Error);
    CHECK_THROWS_AS(LevelSet({1, 1}), Error);
    CHECK_THROWS_AS(LevelSet({0, NAN}), Error);
  }
}
