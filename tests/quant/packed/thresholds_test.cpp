#include "quant/packed/thresholds.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "core/compute/activation.h"
#include "core/compute/norm.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;
using namespace coarsegrad::testing;

namespace {

// What a training computes between sums and codes.
struct Expression {
  std::vector<float> scale, bias, mean, factor, shift;
  kernels::Quantizer<float> quantizer;

  std::int64_t channels() const { return std::ssize(scale); }
  BitCode code() const {
    return quantizer.rounding == kernels::Rounding::sign ? BitCode::signs() : BitCode::unsigned_bits(4);
  }
  int highest() const { return quantizer.rounding == kernels::Rounding::sign ? 1 : quantizer.levels; }
  Thresholds thresholds(const SumRange& range) const {
    return find_thresholds(channels(), code(), highest(), range, *this);
  }
  void operator()(std::int64_t rows, const float* sums, std::uint8_t* codes) const {
    std::vector<float> t(static_cast<std::size_t>(rows * channels()));
    for (std::size_t i = 0; i < t.size(); ++i) {
      const std::size_t c = i % scale.size();
      t[i] = std::fma(scale[c], sums[i], bias[c]);
    }
    batch_norm_quantize<float>(rows, channels(), t.data(), {mean.data(), factor.data(), nullptr, shift.data()}, nullptr,
                               quantizer, {}, codes, nullptr);
  }
};

// The levels of every sum of a range, in every channel.
std::vector<std::uint8_t> levels_of(const Thresholds& t, const SumRange& range) {
  const BitThresholds kernel = bit_thresholds(t, range);
  std::vector<std::uint8_t> levels;
  for (std::int64_t sum = range.lowest; sum <= range.highest; ++sum) {
    const std::vector<std::int32_t> sums(static_cast<std::size_t>(t.channels), static_cast<std::int32_t>(sum));
    std::vector<std::uint8_t> row(sums.size());
    kernel.levels_of(0, t.channels, sums.data(), row.data());
    levels.insert(levels.end(), row.begin(), row.end());
  }
  return levels;
}

std::vector<std::uint8_t> expected_levels(const Expression& e, const SumRange& range) {
  std::vector<float> sums;
  for (std::int64_t s = range.lowest; s <= range.highest; ++s) sums.insert(sums.end(), e.scale.size(), float(s));
  std::vector<std::uint8_t> codes(sums.size());
  e(range.highest - range.lowest + 1, sums.data(), codes.data());
  if (e.code().low < 0)
    for (std::uint8_t& code : codes) code = static_cast<std::int8_t>(code) > 0;
  return codes;
}

Expression expression(std::int64_t channels, unsigned seed, const kernels::Quantizer<float>& quantizer) {
  Expression e{gaussian(channels, seed),     gaussian(channels, seed + 1, 0, 0.1f), gaussian(channels, seed + 2),
               gaussian(channels, seed + 3), gaussian(channels, seed + 4),          quantizer};
  for (float& s : e.scale) s = 0.01f * std::abs(s);
  return e;
}

}  // namespace

TEST_CASE(
    "thresholds: they give the levels of the float expression for every sum, rounding, table and sign of a factor") {
  with_each_table([] {
    const SumRange range{-1000, 900};
    unsigned seed = 1;
    for (const auto rounding : {kernels::Rounding::up, kernels::Rounding::nearest, kernels::Rounding::sign})
      for (const int levels : {1, 2, 3, 7, 15}) {
        if (rounding == kernels::Rounding::sign && levels > 1) continue;
        const Expression e = expression(13, seed += 10, {0.1946f, levels, rounding, 1});
        INFO(levels, " levels, rounding ", static_cast<int>(rounding));
        CHECK(levels_of(e.thresholds(range), range) == expected_levels(e, range));
        CHECK(bit_thresholds(e.thresholds(range), range).is_line() == (levels > 2));
      }
  });
}

TEST_CASE(
    "thresholds: ties, factors of zero, saturated codes and channels that never fire are those of the expression") {
  // Channels: sums on the very thresholds; a factor of 0; one that is always saturated; one that never fires; a falling
  // one; one whose product has the scale 0.
  Expression e{{1, 1, 1, 1, 1, 0},     {0, 0, 0, 0, 0, 0},           {0, 0, 0, 0, 0, 0},
               {1, 0, 1, 1, -0.5f, 1}, {0, 0.5f, 1e6f, -1e6f, 0, 2}, {0.25f, 15}};
  const SumRange range{-40, 40};
  for (const auto rounding : {kernels::Rounding::up, kernels::Rounding::nearest}) {
    e.quantizer.rounding = rounding;
    CHECK(levels_of(e.thresholds(range), range) == expected_levels(e, range));
  }
  const Thresholds t = e.thresholds(range);
  CHECK(t.direction == std::vector<std::int32_t>{1, 1, 1, 1, -1, 1});
  CHECK(t.at[2] == -40);  // always
  CHECK(t.at[3] == 41);   // never
  CHECK(t.at[6 * 14 + 2] == -40);
  e.quantizer = {1, 1, kernels::Rounding::sign};
  CHECK(levels_of(e.thresholds({-3, 3}), {-3, 3}) == expected_levels(e, {-3, 3}));
}

TEST_CASE("thresholds: channels that are turned round have their levels from the highest one down") {
  for (const int levels : {1, 3, 15}) {
    const SumRange range{-300, 300};
    const Expression e = expression(5, 7, {0.2f, levels});
    Thresholds t = e.thresholds(range);
    std::vector<std::uint8_t> expected = levels_of(t, range);
    turn(t, {0, 1, 0, 1, 1});
    for (std::size_t i = 0; i < expected.size(); ++i)
      if (i % 5 == 1 || i % 5 > 2) expected[i] = static_cast<std::uint8_t>(levels - expected[i]);
    CHECK(levels_of(t, range) == expected);
  }
}

TEST_CASE("thresholds: one that is moved by 1 gives a wrong level") {
  const SumRange range{-300, 300};
  const Expression e = expression(3, 5, {0.2f, 3});
  Thresholds t = e.thresholds(range);
  const std::vector<std::uint8_t> before = levels_of(t, range);
  ++t.at[1];
  CHECK(levels_of(t, range) != before);
}

TEST_CASE("thresholds: sums that floats do not hold are refused") {
  const Expression e = expression(1, 5, {0.2f, 3});
  CHECK_SAYS(complaint_of([&] { e.thresholds({0, 1 << 24}); }), "expected a range within 2^24");
  CHECK(complaint_of([&] { e.thresholds({-(1 << 24) + 1, (1 << 24) - 1}); }).empty());
}
