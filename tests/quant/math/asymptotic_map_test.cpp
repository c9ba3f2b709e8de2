// The smooth maps of the AQE-style reconstruction: what the paper's abstract demands of such maps.
#include "quant/math/asymptotic_map.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "core/base/check.h"
#include "core/base/random.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

struct Named {
  const char* name;
  LevelSet levels;
};
std::vector<Named> level_sets() {
  return {{"1 bit", level_set(1)},
          {"2 bits", level_set(2)},
          {"3 bits, two powers", level_set(3)},
          {"3 bits, three powers", level_set(3, ThreeBits::three_powers)},
          {"thirds", LevelSet({0, 1.0 / 3, 2.0 / 3, 1})}};
}

double sum_of_steps(const LevelSet& levels) { return levels.highest() - levels.lowest(); }

/// Of f over [a, b] by Simpson's rule, cut at the thresholds, where q jumps.
template <class F>
double integral(const LevelSet& levels, double a, double b, int panels, F f) {
  std::vector<double> cuts{a};
  for (const double t : levels.thresholds()) cuts.push_back(t);
  cuts.push_back(b);
  double sum = 0;
  for (std::size_t i = 1; i < cuts.size(); ++i) {
    const double h = (cuts[i] - cuts[i - 1]) / panels;
    for (int j = 0; j < panels; ++j) {
      const double x = cuts[i - 1] + j * h;
      sum += h / 6 * (f(std::nextafter(x, b)) + 4 * f(x + h / 2) + f(std::nextafter(x + h, a)));
    }
  }
  return sum;
}

double distance_to_levels(const LevelSet& levels, double sharpness) {
  const AsymptoticMap map(levels, sharpness);
  return integral(levels, -3, 3, 4000, [&](double x) { return std::abs(map.value(x) - levels.nearest(x)); });
}

}  // namespace

TEST_SUITE("paper-aqe") {
  TEST_CASE("paper-aqe 6.1: the slope is the derivative of the map") {
    Rng rng(1);
    for (const Named& set : level_sets())
      for (const double sharpness : {2.0, 7.0, 20.0}) {
        INFO(set.name, ", T = ", sharpness);
        const LevelSet& levels = set.levels;
        const AsymptoticMap map(levels, sharpness);
        const double steepest = sharpness * levels.greatest_step(), h = 1e-6;
        double worst = 0, largest = 0;
        for (int i = 0; i < 1000; ++i) {
          const double x = 4 * rng.uniform() - 2;
          const double difference = (map.value(x + h) - map.value(x - h)) / (2 * h);
          worst = std::max(worst, std::abs(difference - map.slope(x)));
          largest = std::max(largest, map.slope(x));
        }
        CHECK(worst <= 1e-6 * steepest);
        CHECK(largest > 0.3 * steepest / 2);
      }
  }

  TEST_CASE(
      "paper-aqe 6.2: the map never falls, stays between its levels, and climbs from one end to the other") {
    for (const Named& set : level_sets())
      for (const double sharpness : {0.75, 2.0, 7.0, 20.0}) {
        INFO(set.name, ", T = ", sharpness);
        const LevelSet& levels = set.levels;
        const AsymptoticMap map(levels, sharpness);
        double before = -HUGE_VAL;
        int wrong = 0;
        for (int i = -2000; i <= 2000; ++i) {
          const double x = i * 1e-3, y = map.value(x);
          wrong += map.slope(x) < 0 || y < before;
          wrong += std::abs(x) * sharpness < 8 && (y <= levels.lowest() || y >= levels.highest());
          before = y;
        }
        CHECK(wrong == 0);
        const double all = integral(levels, -40, 40, 8000, [&](double x) { return map.slope(x); });
        CHECK(std::abs(all - sum_of_steps(levels)) <= 1e-9);
      }
  }

  TEST_CASE("paper-aqe 6.3: the map approaches the levels as ln 2 / T times the sum of the steps") {
    for (const Named& set : level_sets())
      for (const double steps : {10.0, 20.0, 100.0}) {
        INFO(set.name, ", T Delta = ", steps);
        const LevelSet& levels = set.levels;
        const double sharpness = steps / levels.least_step();
        const double law = std::numbers::ln2 / sharpness * sum_of_steps(levels);
        CHECK(std::abs(distance_to_levels(levels, sharpness) - law) <= 0.01 * law);
      }
    const LevelSet one = level_set(1), two = level_set(2), three = level_set(3),
                   thirds({0, 1. / 3, 2. / 3, 1});
    CHECK(std::abs(distance_to_levels(one, 5) - 0.277259) <= 1e-6);
    CHECK(std::abs(distance_to_levels(one, 20) - 0.069315) <= 1e-6);
    CHECK(std::abs(distance_to_levels(one, 100) - 0.013863) <= 1e-6);
    CHECK(std::abs(distance_to_levels(two, 20) - 0.069315) <= 1e-6);
    CHECK(std::abs(distance_to_levels(three, 20) - 0.069308) <= 1e-6);
    CHECK(std::abs(distance_to_levels(thirds, 20) - 0.034573) <= 1e-6);
    CHECK(std::abs(distance_to_levels(thirds, 100) - 0.006931) <= 1e-6);
  }

  TEST_CASE("paper-aqe 6.3: away from the thresholds the map ends in the nearest level") {
    for (const auto& [name, levels] : level_sets()) {
      const AsymptoticMap map(levels, 100 / levels.least_step());
      for (double x = -1.5; x <= 1.5; x += 0.0103) {
        double distance = HUGE_VAL;
        for (const double t : levels.thresholds()) distance = std::min(distance, std::abs(x - t));
        if (distance > 0.1 * levels.least_step()) CHECK(std::abs(map.value(x) - levels.nearest(x)) < 1e-7);
      }
    }
  }

  TEST_CASE("paper-aqe 6.3: with T Delta = 1.5 many steps are an identity to 4 %, with 6 they are stairs") {
    std::vector<double> q;
    for (int i = -12; i <= 12; ++i) q.push_back(i);
    const LevelSet levels(q);
    const auto range = [&](double sharpness) {
      const AsymptoticMap map(levels, sharpness);
      double least = HUGE_VAL, most = 0;
      for (double x = 0; x <= 1; x += 1e-3) {
        least = std::min(least, map.slope(x));
        most = std::max(most, map.slope(x));
      }
      return std::pair(least, most);
    };
    CHECK(range(1.5).first > 0.96);
    CHECK(range(1.5).second < 1.04);
    CHECK(range(6).first < 0.07);
    CHECK(range(6).second > 2.9);
  }

  TEST_CASE("paper-aqe 6.2: the square of the slope integrates to T / 3 times the squared steps") {
    for (const Named& set : level_sets()) {
      INFO(set.name);
      const LevelSet& levels = set.levels;
      const double sharpness = 20 / levels.least_step();
      const AsymptoticMap map(levels, sharpness);
      double law = 0;
      for (std::size_t i = 0; i < levels.thresholds().size(); ++i)
        law += std::pow(levels.levels()[i + 1] - levels.levels()[i], 2) * sharpness / 3;
      const double all = integral(levels, -3, 3, 4000, [&](double x) { return std::pow(map.slope(x), 2); });
      CHECK(std::abs(all - law) <= 1e-3 * law);
    }
  }

  TEST_CASE("paper-aqe 6.3: sharpness grows exponentially to its end, then the quantizer takes over") {
    const SharpnessSchedule whole, part{.hard_from = 0.95};
    CHECK(whole.sharpness(0) == 1.5);
    CHECK(std::abs(whole.sharpness(0.5) - std::sqrt(1.5 * 100)) < 1e-12);
    CHECK(std::abs(whole.sharpness(1) - 100) < 1e-12);
    CHECK_FALSE(whole.hard(1));
    CHECK(std::abs(part.sharpness(0.95) - 100) < 1e-12);
    CHECK(std::abs(part.sharpness(1) - 100) < 1e-12);
    CHECK_FALSE(part.hard(0.9499));
    CHECK(part.hard(0.95));
    CHECK_THROWS_AS((SharpnessSchedule{.first = 0}.validate()), Error);
    CHECK_THROWS_AS((SharpnessSchedule{.first = 2, .last = 1}.validate()), Error);
    CHECK_THROWS_AS((SharpnessSchedule{.hard_from = 0}.validate()), Error);
    CHECK_THROWS_AS((SharpnessSchedule{.hard_from = 1.1}.validate()), Error);
  }
}

TEST_SUITE("quant") {
  TEST_CASE("level sets: the levels of 1 to 3 bits, midpoints away from zero") {
    const auto levels = [](const LevelSet& set) {
      return std::vector<double>(set.levels().begin(), set.levels().end());
    };
    CHECK(levels(level_set(1)) == std::vector<double>{-1, 1});
    CHECK(levels(level_set(2)) == std::vector<double>{-1, 0, 1});
    CHECK(levels(level_set(3)) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
    CHECK(levels(level_set(3, ThreeBits::three_powers)) ==
          std::vector<double>{-1, -0.5, -0.25, 0, 0.25, 0.5, 1});
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

  TEST_CASE("asymptotic maps of arrays: float beside double on every table, in place, any length") {
    const std::vector<float> x = gaussian(3001, 5);
    for (const auto& [name, levels] : level_sets()) {
      const AsymptoticMap map(levels, 4 / levels.least_step());
      with_each_table([&] {
        std::vector<float> value = x, slope(x.size());
        map.values<float>(value, value);
        map.slopes<float>(x, slope);
        double worst_value = 0, worst_slope = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          worst_value = std::max(worst_value, std::abs(double(value[i]) - map.value(double(x[i]))));
          worst_slope = std::max(worst_slope, std::abs(double(slope[i]) - map.slope(double(x[i]))));
        }
        CHECK(worst_value < 2e-6);
        CHECK(worst_slope < 2e-5);
      });
    }
    std::vector<float> shorter(5);
    CHECK_THROWS_AS(AsymptoticMap(level_set(1), 1).values<float>(x, shorter), Error);
    CHECK_THROWS_AS(AsymptoticMap(level_set(1), 0), Error);
    CHECK_THROWS_AS(AsymptoticMap(level_set(1), NAN), Error);
  }
}
