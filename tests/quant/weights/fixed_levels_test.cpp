// Fixed levels as a projection of weights.
#include "quant/weights/fixed_levels.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/base/check.h"
#include "nn/init.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using quant::FixedLevelsOptions;

namespace {

constexpr LevelScale kScales[] = {LevelScale::fitted, LevelScale::unit, LevelScale::mean};

/// 1, 2 and 3 bits, both sets of 3, each scale, one group or one for each channel.
std::vector<FixedLevelsOptions> all_options() {
  std::vector<FixedLevelsOptions> all;
  for (const LevelScale scale : kScales)
    for (const bool per_channel : {false, true}) {
      for (const int bits : {1, 2, 3}) all.push_back({.bits = bits, .per_channel = per_channel, .scale = scale});
      all.push_back({.bits = 3, .per_channel = per_channel, .scale = scale, .powers = ThreeBits::three_powers});
    }
  return all;
}

std::string text(const FixedLevelsOptions& o) {
  return cat(o.bits, " bits, scale ", static_cast<int>(o.scale), ", powers ", static_cast<int>(o.powers),
             o.per_channel ? ", per channel" : "");
}

Real scale_of(const Tensor& projected) { return quant::power_codes(projected)->scales[0]; }

std::unique_ptr<quant::WeightProjection> levels(const FixedLevelsOptions& o) {
  return quant::weight_projection({"fixed_levels", o});
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("fixed levels: each weight gets the level nearest to it, in units of the scale of its group") {
    const Tensor w = nn::normal({6, 3, 3, 20}, 0.4, Rng(6));
    for (const FixedLevelsOptions& o : all_options()) {
      INFO(text(o));
      const auto projection = levels(o);
      const LevelSet set = level_set(o.bits, o.powers);
      const Tensor p = projection->project(w);
      REQUIRE(quant::power_codes(p));
      const auto scales = quant::power_codes(p)->scales;
      CHECK(scales.size() == (o.per_channel ? 6u : 1u));
      std::set<Real> used;
      int wrong = 0;
      for (std::int64_t i = 0; i < w.numel(); ++i) {
        const Real scale = scales[static_cast<std::size_t>(i * static_cast<std::int64_t>(scales.size()) / w.numel())];
        const double reach = o.scale == LevelScale::fitted ? double(scale) : 1;
        const double q = set.nearest(double(w[i]) / reach);
        wrong += p[i] != scale * static_cast<Real>(q);
        used.insert(static_cast<Real>(q));
      }
      CHECK(wrong == 0);
      CHECK(used.size() == set.levels().size());
    }
  }

  TEST_CASE("fixed levels: the reach is fitted once, kept and saved, a mean scale follows the weights") {
    const Tensor w = nn::normal({50, 40}, 0.05, Rng(8)), other = nn::normal({50, 40}, 0.2, Rng(9));
    quant::FixedLevels fitted({.bits = 2});
    fitted.begin(w);
    const Real reach = fitted.reach(w)[0];
    // The best ternary scale of Gaussian weights is 1.224 deviations.
    CHECK(std::abs(double(reach) - 1.224 * 0.05) < 0.002);
    CHECK(fitted.reach(other)[0] == reach);
    CHECK(scale_of(fitted.project(other)) == reach);
    REQUIRE(fitted.state_dict().size() == 1);
    CHECK(fitted.state_dict()[0].first == "reach");
    quant::FixedLevels mean({.bits = 1, .scale = LevelScale::mean});
    for (const Tensor& t : {w, other}) {
      double sum = 0;
      for (const Real v : t.view()) sum += std::abs(double(v));
      CHECK(std::abs(double(scale_of(mean.project(t))) - sum / 2000) < 1e-6);
    }
    quant::FixedLevels zeros({.bits = 3});
    for (const Real v : zeros.project(Tensor({4, 4})).view()) CHECK(v == 0);
    quant::FixedLevels signs({.bits = 1});
    for (const Real v : signs.project(Tensor({2}, {0, -3})).view()) CHECK(std::abs(v) == Real(1.5));
    CHECK(fitted.project(Tensor({0, 5})).numel() == 0);
    CHECK_THROWS_AS(levels({.bits = 4}), UsageError);
  }

  TEST_CASE("fixed levels: a weight that is not finite makes its group NaN") {
    Tensor w = nn::normal({3, 5}, 1, Rng(10));
    for (const LevelScale scale : kScales) {
      quant::FixedLevels projection({.bits = 2, .per_channel = true, .scale = scale});
      projection.begin(w);
      Tensor broken = w;
      broken.mutable_data()[7] = std::numeric_limits<Real>::infinity();
      const Tensor p = projection.project(broken);
      for (std::int64_t i = 0; i < 15; ++i) CHECK(std::isnan(p[i]) == (i / 5 == 1));
    }
  }
}
