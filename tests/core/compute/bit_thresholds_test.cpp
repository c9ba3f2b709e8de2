#include "core/compute/bit_thresholds.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/base/check.h"
#include "core/kernels/kernels.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

constexpr SumRange kRange{-700, 650};

struct Limits {
  int count;
  std::vector<std::int32_t> at = {};
  std::vector<std::uint8_t> descending = {};

  void add(const std::vector<std::int32_t>& thresholds, bool descends) {
    at.insert(at.end(), thresholds.begin(), thresholds.end());
    descending.push_back(descends);
  }
  std::int64_t channels() const { return std::ssize(descending); }
  int level(std::size_t channel, std::int32_t sum) const {
    int passed = 0;
    for (int k = 0; k < count; ++k) {
      const std::int32_t t = at[channel * static_cast<std::size_t>(count) + static_cast<std::size_t>(k)];
      passed += descending[channel] != 0 ? sum <= t : sum >= t;
    }
    return passed;
  }
};

// Thresholds of a grid: `first` + k * `distance`, rounded up; they leave the range on both sides.
Limits on_grids(int count, unsigned seed) {
  std::mt19937 bits(seed);
  Limits all{count};
  for (int c = 0; c < 37; ++c) {
    const double distance = 0.3 + bits() % 1000 / 8.0, first = static_cast<int>(bits() % 1600) - 800;
    std::vector<std::int32_t> at;
    for (int k = 0; k < count; ++k) at.push_back(static_cast<std::int32_t>(std::ceil(first + k * distance)));
    all.add(at, c % 3 == 0);
  }
  return all;
}

std::int64_t wrong_levels(const Limits& l, const BitThresholds& t) {
  std::int64_t wrong = 0;
  for (std::int64_t sum = kRange.lowest; sum <= kRange.highest; ++sum) {
    const std::vector<std::int32_t> sums(l.descending.size(), static_cast<std::int32_t>(sum));
    std::vector<std::uint8_t> levels(sums.size());
    t.levels_of(0, 5, sums.data(), levels.data());
    t.levels_of(5, l.channels() - 5, sums.data() + 5, levels.data() + 5);
    for (std::size_t c = 0; c < levels.size(); ++c) wrong += levels[c] != l.level(c, sums[c]);
  }
  return wrong;
}

}  // namespace

TEST_CASE("thresholds of sums: levels by comparison and by a line are the numbers of thresholds reached, every table") {
  with_each_table([] {
    for (const int count : {1, 2, 3, 6, 15, 255}) {
      INFO("count ", count);
      const Limits l = on_grids(count, static_cast<unsigned>(count));
      const BitThresholds compared(count, l.at, l.descending), on_lines(count, l.at, l.descending, kRange);
      CHECK(!compared.is_line());
      CHECK(on_lines.is_line() == (count > 2));
      CHECK(wrong_levels(l, compared) == 0);
      CHECK(wrong_levels(l, on_lines) == 0);
    }
  });
}

TEST_CASE("thresholds of sums: those that lie on no line are compared, and those beyond the range are on one") {
  constexpr std::int32_t low = std::numeric_limits<std::int32_t>::min(),
                         high = std::numeric_limits<std::int32_t>::max();
  const auto limits = [](const std::vector<std::int32_t>& at) {
    Limits l{3};
    for (int c = 0; c < 7; ++c) l.add({low, 5, high}, c % 2 == 0);
    l.at[0] = at[0], l.at[1] = at[1], l.at[2] = at[2];
    return l;
  };
  for (const auto& [points, line] : {std::pair{std::vector<std::int32_t>{-300, -299, 500}, false},
                                     {{-300, 100, 500}, true},
                                     {{7, 7, 7}, true},
                                     {{low, low, low}, true},
                                     {{high, high, high}, true},
                                     {{low, 0, 1}, false}}) {
    const std::vector<std::int32_t>& at = points;
    INFO(at[0], ", ", at[1], ", ", at[2]);
    const Limits l = limits(at);
    const BitThresholds t(3, l.at, l.descending, kRange);
    CHECK(t.is_line() == line);
    CHECK(wrong_levels(l, t) == 0);
  }
}

TEST_CASE("thresholds of sums: other numbers of them than channels ask for are errors") {
  const std::vector<std::int32_t> at(6);
  const std::vector<std::uint8_t> descending(2);
  CHECK_THROWS_AS(BitThresholds(0, {}, descending), Error);
  CHECK_THROWS_AS(BitThresholds(2, at, descending), Error);
  CHECK_THROWS_AS(BitThresholds(256, std::vector<std::int32_t>(512), descending), Error);
  CHECK(BitThresholds(3, at, descending).bits() == 2);
}
