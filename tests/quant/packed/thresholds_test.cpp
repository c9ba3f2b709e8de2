#include "quant/packed/thresholds.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "core/base/parallel.h"
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

// Every sum of a range, in every channel.
std::vector<float> all_sums(std::int64_t channels, std::int64_t lowest, std::int64_t highest) {
  std::vector<float> sums;
  for (std::int64_t s = lowest; s <= highest; ++s)
    sums.insert(sums.end(), static_cast<std::size_t>(channels), float(s));
  return sums;
}

std::int64_t wrong_codes(const Expression& e, std::int64_t lowest, std::int64_t highest) {
  const bool sign = e.quantizer.rounding == kernels::Rounding::sign;
  const Thresholds t = find_thresholds(e.channels(), e.quantizer.levels, sign, lowest, highest, e);
  const std::vector<float> sums = all_sums(e.channels(), lowest, highest);
  std::vector<std::uint8_t> expected(sums.size()), codes(sums.size());
  const std::int64_t rows = highest - lowest + 1;
  e(rows, sums.data(), expected.data());
  apply_thresholds(t, rows, sums.data(), codes.data());
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) wrong += codes[i] != expected[i];
  return wrong;
}

Expression expression(std::int64_t channels, unsigned seed, const kernels::Quantizer<float>& quantizer) {
  Expression e{gaussian(channels, seed),     gaussian(channels, seed + 1, 0, 0.1f), gaussian(channels, seed + 2),
               gaussian(channels, seed + 3), gaussian(channels, seed + 4),          quantizer};
  for (float& s : e.scale) s = 0.01f * std::abs(s);
  return e;
}

}  // namespace

TEST_CASE(
    "thresholds: they give the codes of the float expression for every sum, rounding, table and sign of a factor") {
  with_each_table([] {
    unsigned seed = 1;
    for (const auto rounding : {kernels::Rounding::up, kernels::Rounding::nearest, kernels::Rounding::sign})
      for (const int levels : {1, 3, 15}) {
        if (rounding == kernels::Rounding::sign && levels > 1) continue;
        const Expression e = expression(13, seed += 10, {0.1946f, levels, rounding, 1});
        INFO(levels, " levels, rounding ", static_cast<int>(rounding));
        CHECK(wrong_codes(e, -1000, 900) == 0);
      }
  });
}

TEST_CASE(
    "thresholds: ties, factors of zero, saturated codes and channels that never fire are those of the expression") {
  // Channels: sums on the very thresholds; a factor of 0; one that is always saturated; one that never fires; a falling
  // one; one whose product has the scale 0.
  Expression e{{1, 1, 1, 1, 1, 0},     {0, 0, 0, 0, 0, 0},           {0, 0, 0, 0, 0, 0},
               {1, 0, 1, 1, -0.5f, 1}, {0, 0.5f, 1e6f, -1e6f, 0, 2}, {0.25f, 15}};
  for (const auto rounding : {kernels::Rounding::up, kernels::Rounding::nearest}) {
    e.quantizer.rounding = rounding;
    CHECK(wrong_codes(e, -40, 40) == 0);
  }
  const Thresholds t = find_thresholds(6, 15, false, -40, 40, e);
  CHECK(t.direction == std::vector<std::int32_t>{1, 1, 1, 1, -1, 1});
  CHECK(t.at[2] == -40);  // always
  CHECK(t.at[3] == 41);   // never
  CHECK(t.at[6 * 14 + 2] == -40);
  e.quantizer = {1, 1, kernels::Rounding::sign};
  CHECK(wrong_codes(e, -3, 3) == 0);
}

TEST_CASE("thresholds: one that is moved by 1 gives a wrong code") {
  const Expression e = expression(3, 5, {0.2f, 3});
  Thresholds t = find_thresholds(3, 3, false, -300, 300, e);
  const std::vector<float> sums = all_sums(3, -300, 300);
  std::vector<std::uint8_t> before(sums.size()), after(sums.size());
  apply_thresholds(t, 601, sums.data(), before.data());
  ++t.at[1];
  apply_thresholds(t, 601, sums.data(), after.data());
  CHECK(before != after);
}

TEST_CASE("thresholds: sums that floats do not hold are refused") {
  const Expression e = expression(1, 5, {0.2f, 3});
  CHECK_SAYS(complaint_of([&] { find_thresholds(1, 3, false, 0, 1 << 24, e); }), "expected a range within 2^24");
  CHECK(complaint_of([&] { find_thresholds(1, 3, false, -(1 << 24) + 1, (1 << 24) - 1, e); }).empty());
}
