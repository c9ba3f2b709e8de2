// Fixed levels as a projection of weights.
#include "quant/weights/fixed_levels.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "nn/init.h"
#include "quant/weights/projection.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using quant::FixedLevelsOptions;

namespace {

std::unique_ptr<quant::WeightProjection> levels(const FixedLevelsOptions& o) {
  return quant::weight_projection({"fixed_levels", o});
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("fixed levels: each weight gets its level and its code, without a scale") {
    const Tensor w = nn::normal({6, 3, 3, 20}, 0.4, Rng(6));
    for (const LevelThresholds& thresholds : {LevelThresholds(), LevelThresholds{0.3, 0.1, 0.2, 0.5}})
      for (const int bits : {1, 2, 3}) {
        INFO(bits, " bits, ternary above ", thresholds.ternary_above);
        const auto projection = levels({bits, thresholds});
        CHECK(projection->name() == "fixed_levels");
        CHECK(projection->bits() == bits);
        const LevelSet set = level_set(bits, thresholds);
        const Tensor p = projection->project(w);
        const auto powers = quant::power_codes(p);
        REQUIRE(powers);
        REQUIRE(p.coded());
        CHECK(powers->magnitudes == set.magnitudes());
        REQUIRE(powers->scales.size() == 1);
        CHECK(powers->scales[0] == 1);
        std::vector<std::int8_t> codes(static_cast<std::size_t>(w.numel()));
        set.encode(w.view(), codes.data());
        CHECK(std::ranges::equal(powers->codes, codes));
        int wrong = 0;
        for (std::int64_t i = 0; i < w.numel(); ++i)
          wrong += p[i] != static_cast<Real>(set.level(codes[static_cast<std::size_t>(i)]));
        CHECK(wrong == 0);
        const Tensor g = nn::normal(w.shape(), 3, Rng(7));
        CHECK(std::ranges::equal(projection->gradient(w, g).weight.view(), g.view()));
        CHECK(projection->state().size() == 0);
      }
  }

  TEST_CASE("fixed levels: zeros, no weights, one that is not finite, and options out of range") {
    for (const Real v : levels({.bits = 1})->project(Tensor({2, 2})).view()) CHECK(v == -1);
    for (const int bits : {2, 3})
      for (const Real v : levels({.bits = bits})->project(Tensor({2, 2})).view()) CHECK(v == 0);
    CHECK(levels({.bits = 3})->project(Tensor({0, 5})).numel() == 0);
    for (const Real bad : {std::numeric_limits<Real>::infinity(), std::numeric_limits<Real>::quiet_NaN()})
      for (const int bits : {1, 2, 3})
        for (const Real v : levels({.bits = bits})->project(Tensor({3}, {1, bad, Real(0.5)})).view())
          CHECK(std::isnan(v));
    CHECK_THROWS_AS(levels({.bits = 4}), UsageError);
    CHECK_SAYS(complaint_of([] { levels({.bits = 3, .thresholds = {.half_above = 0.8}}); }), "expected ascending ones");
    CHECK_THROWS_AS(quant::weight_projections().part("fixed_levels").with("one-above", 1.5), UsageError);
    CHECK_THROWS_AS(quant::weight_projections().part("fixed_levels").with("scale", "unit"), UsageError);
  }
}
