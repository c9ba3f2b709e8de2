// The hard quantizer of 1 to 3 bits and more.
#include "quant/math/level_set.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

#include "core/base/check.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

/// h(x) in the arithmetic of T.
template <class T>
std::vector<double> quantized(const LevelSet& set, const std::vector<T>& x) {
  std::vector<std::int8_t> codes(x.size());
  CHECK_FALSE(set.encode<T>(x, codes.data()));
  std::vector<double> h;
  for (const int code : codes) h.push_back(set.level(code));
  return h;
}

template <class T>
std::vector<T> as(const std::vector<double>& x) {
  return {x.begin(), x.end()};
}

std::vector<double> grid(double end, int points) {
  std::vector<double> x;
  for (int i = 0; i < points; ++i) x.push_back(end * (2 * i - (points - 1)) / (points - 1));
  return x;
}

using Values = std::vector<double>;

}  // namespace

TEST_SUITE("paper-aqe") {
  TEST_CASE_TEMPLATE("paper-aqe 11.1: one bit is the sign, and that of both zeros is -1", T, float, double) {
    const Values x{-1, -1e-30, -0.0, 0, 1e-30, 0.5, 7};
    CHECK(quantized(level_set(1), as<T>(x)) == Values{-1, -1, -1, -1, 1, 1, 1});
  }

  TEST_CASE_TEMPLATE("paper-aqe 11.2: two bits, a size on the threshold becomes 0", T, float, double) {
    std::vector<T> x = as<T>({-0.051, -0.05, -0.02, 0, 0.05, 0, 0.3});
    x[5] = std::nextafter(x[4], T(1));
    CHECK(quantized(level_set(2), x) == Values{-1, 0, 0, 0, 0, 1, 1});
    CHECK(quantized(level_set(2, {.ternary_above = 0.5}), as<T>({-0.6, -0.5, 0.5, 0.51})) == Values{-1, 0, 0, 1});
  }

  TEST_CASE_TEMPLATE("paper-aqe 11.3: three bits, and all but one bit are odd functions", T, float, double) {
    const Values x{0, .125, .126, .375, .376, .75, .751, 1, -.125, -.2, -.75, -1};
    CHECK(quantized(level_set(3), as<T>(x)) == Values{0, 0, .25, .25, .5, .5, 1, 1, 0, -.25, -.5, -1});
    for (const int bits : {1, 2, 3}) {
      const std::vector<T> points = as<T>(grid(1, 401));
      std::vector<T> mirrored = points;
      for (T& v : mirrored) v = -v;
      Values minus = quantized(level_set(bits), mirrored);
      for (double& v : minus) v = 0 - v;
      CHECK((quantized(level_set(bits), points) == minus) == (bits > 1));
    }
  }

  TEST_CASE("paper-aqe 11.4: numbers of thresholds and levels, and equation 22 with two bits is equation 21") {
    CHECK(level_thresholds(1) == 0);
    CHECK(level_thresholds(2) == 1);
    CHECK(level_thresholds(3) == 3);
    CHECK(level_thresholds(4) == 7);
    CHECK(level_set(1).levels() == Values{-1, 1});
    CHECK(level_set(2).levels() == Values{-1, 0, 1});
    CHECK(level_set(3).levels() == Values{-1, -0.5, -0.25, 0, 0.25, 0.5, 1});
    const LevelSet four(4, {1.0 / 128, 1.5 / 64, 1.5 / 32, 1.5 / 16, 1.5 / 8, 1.5 / 4, 1.5 / 2});
    CHECK(four.levels().size() == 15);
    CHECK(four.levels()[8] == 1.0 / 64);
    const Values x = grid(1.2, 4801);
    for (const LevelSet& set : {level_set(1), level_set(2), level_set(3), four}) {
      const Values h = quantized(set, x);
      const std::set<double> found(h.begin(), h.end());
      CHECK(Values(found.begin(), found.end()) == set.levels());
    }
    Values by_equation_21;
    for (const double v : x) by_equation_21.push_back(std::abs(v) <= 0.05 ? 0 : std::copysign(1, v));
    CHECK(quantized(level_set(2), x) == by_equation_21);
  }

  TEST_CASE("paper-aqe 11.10: with uniform noise the mean of the mix is x and its slope 1, whatever the share") {
    constexpr int kNoises = 20000;
    const auto signs = [](double x) {
      Values at;
      for (int i = 0; i < kNoises; ++i) at.push_back(x - ((i + 0.5) / 10000 - 1));
      return quantized(level_set(1), at);
    };
    struct Moments {
      double mean = 0, variance = 0;
    };
    const auto moments = [&](double a, double x) {
      Moments m;
      const Values h = signs(x);
      for (const double s : h) m.mean += (a * s + (1 - a) * x) / kNoises;
      for (const double s : h) m.variance += std::pow(a * s + (1 - a) * x - m.mean, 2) / kNoises;
      return m;
    };
    struct Golden {
      double a, x, mean, variance;
    };
    for (const Golden& golden : std::vector<Golden>{{.25, -.6, -.6, .04},
                                                    {.5, -.6, -.6, .16},
                                                    {.75, -.6, -.6, .36},
                                                    {.25, .3, .3, .056875},
                                                    {.5, .3, .3, .2275},
                                                    {.75, .3, .3, .511875},
                                                    {.25, 1.4, 1.3, 0},
                                                    {.5, 1.4, 1.2, 0},
                                                    {.75, 1.4, 1.1, 0}}) {
      const auto& [a, x, mean, variance] = golden;
      CAPTURE(golden.a);
      CAPTURE(golden.x);
      const Moments m = moments(a, x);
      CHECK(std::abs(m.mean - mean) <= 1e-9);
      CHECK(std::abs(m.variance - variance) <= 1e-9);
    }
    const auto above = [&](double x) { return (moments(1, x).mean + 1) / 2; };
    CHECK(std::abs((above(.31) - above(.29)) / .02 - 0.5) <= 1e-9);
    for (const double a : {.25, .5, .75}) {
      CHECK(std::abs((moments(a, .31).mean - moments(a, .29).mean) / .02 - 1) <= 1e-9);
      CHECK(std::abs((moments(a, 1.41).mean - moments(a, 1.39).mean) / .02 - (1 - a)) <= 1e-9);
    }
  }
}

TEST_SUITE("quant") {
  TEST_CASE("level sets: codes are the same on every table and for any number of threads, and NaN is noticed") {
    const std::vector<float> x = awkward(100'003, 3);
    for (const int bits : {1, 2, 3}) {
      const LevelSet set = level_set(bits);
      CHECK(set.magnitudes() == (bits == 3 ? 3 : 1));
      std::vector<std::int8_t> expected(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float size = std::abs(x[i]);
        const bool zero = std::isnan(x[i]) || size < std::numeric_limits<float>::min();
        int code = 0;
        for (const double t : set.thresholds()) code += !zero && size > static_cast<float>(t);
        if (bits == 1) code = 1;
        expected[i] = static_cast<std::int8_t>(x[i] > 0 && !(zero && bits == 1) ? code : -code);
      }
      with_each_table([&] {
        CHECK(same_with_two_threads([&] {
          std::vector<std::int8_t> codes(x.size());
          CHECK(set.encode<float>(x, codes.data()));
          CHECK(codes == expected);
          return codes;
        }));
      });
    }
    const std::vector<float> infinite{1, std::numeric_limits<float>::infinity()};
    std::int8_t codes[2];
    CHECK_FALSE(level_set(3).encode<float>(infinite, codes));
    CHECK(codes[1] == 3);
  }

  TEST_CASE("level sets: bits and thresholds out of range are refused") {
    for (const int bits : {0, 4}) CHECK_THROWS_AS(level_set(bits), UsageError);
    for (const int bits : {0, kMostLevelBits + 1}) CHECK_THROWS_AS(level_thresholds(bits), UsageError);
    CHECK_SAYS(complaint_of([] { LevelSet(2, {0.1, 0.2}); }), "given 2 thresholds with 2 bits, expected 1");
    CHECK_SAYS(complaint_of([] { level_set(3, {.quarter_above = 0.4}); }), "given a threshold of 0.375 behind 0.4");
    for (const double bad : {0.0, -0.1, 1.0, 1 - 1e-12, 1e-60, std::nan("")})
      CHECK_THROWS_AS(level_set(2, {.ternary_above = bad}), UsageError);
  }
}
