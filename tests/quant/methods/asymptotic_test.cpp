// Smooth maps in networks: weights by a relaxation, activations as modules. The maps themselves are tested in
// asymptotic_map_test.cpp.
#include "quant/methods/asymptotic.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "core/base/check.h"
#include "core/deferred.h"
#include "core/gradcheck.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "quant/methods/fixed_levels.h"
#include "quant/weight_rule.h"
#include "tests/support/gradcheck_module.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::AsymptoticActivation, quant::ProjectionOptions, quant::RelaxationOptions;

namespace {

constexpr LevelScale kScales[] = {LevelScale::fitted, LevelScale::unit, LevelScale::mean};

/// 1, 2 and 3 bits, both sets of 3, each scale, one group or one for each channel.
std::vector<ProjectionOptions> all_options() {
  std::vector<ProjectionOptions> all;
  for (const LevelScale scale : kScales)
    for (const bool per_channel : {false, true}) {
      for (const int bits : {1, 2, 3})
        all.push_back({.bits = bits, .per_channel = per_channel, .level_scale = scale});
      all.push_back({.bits = 3,
                     .per_channel = per_channel,
                     .level_scale = scale,
                     .three_bits = ThreeBits::three_powers});
    }
  return all;
}

std::string text(const ProjectionOptions& o) {
  return cat(o.bits, " bits, scale ", static_cast<int>(o.level_scale), ", powers ",
             static_cast<int>(o.three_bits), o.per_channel ? ", per channel" : "");
}

std::unique_ptr<quant::WeightProjection> levels(const ProjectionOptions& o) {
  return quant::weight_projection("fixed_levels", o);
}

/// The relaxation at T times the least step = `steps`.
std::unique_ptr<quant::Relaxation> at_sharpness(double steps) {
  return quant::relaxation("asymptotic", {.strength = steps, .growth = 2});
}

std::unique_ptr<AsymptoticActivation> activation(int bits, double share, double hard_from = 1) {
  auto act = std::make_unique<AsymptoticActivation>(bits, ThreeBits::two_powers, 1,
                                                    SharpnessSchedule{.hard_from = hard_from});
  act->advance({share, 1});
  return act;
}

#ifdef COARSEGRAD_DOUBLE
/// x = R(w) as an op, with the relaxation's gradient.
Var relaxed(quant::Relaxation& relaxation, quant::WeightProjection& projection, const Var& w) {
  return record("relaxed", relaxation.used(projection, w.value()), {w},
                [&, value = w.value()](const Tensor& g) -> Gradients {
                  return {relaxation.gradient(projection, value, g)};
                });
}

/// Dense, normalised, smooth, dense.
std::unique_ptr<nn::Sequential> small_net(int bits, double share) {
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Linear>("fc1", 5, 6, Rng(1));
  net->add<nn::BatchNorm>("norm", 6);
  net->append("act", activation(bits, share));
  net->add<nn::Linear>("fc2", 6, 3, Rng(2));
  return net;
}
#endif

}  // namespace

TEST_SUITE("paper-aqe") {
#ifdef COARSEGRAD_DOUBLE
  TEST_CASE("paper-aqe 6.4: the gradient of relaxed weights is that of the map that was used") {
    const Tensor w = nn::normal({3, 2, 2, 4}, 0.6, Rng(3));
    for (const ProjectionOptions& o : all_options())
      for (const double steps : {1.5, 5.0, 12.0}) {
        INFO(text(o), ", T Delta = ", steps);
        const auto relaxation = at_sharpness(steps);
        const auto projection = levels(o);
        projection->begin(w);
        const auto result = gradcheck(
            [&](const std::vector<Var>& leaves) { return relaxed(*relaxation, *projection, leaves[0]); },
            {w});
        INFO(result.where);
        CHECK(result.error < 1e-5);
      }
  }

  TEST_CASE("paper-aqe 6.4: a layer's backward pass is that of its forward pass, no exemption") {
    const Tensor x = nn::normal({7, 5}, 1, Rng(4));
    for (const int bits : {1, 2, 3})
      for (const double share : {0.0, 0.3, 0.6}) {
        const auto result = tests::gradcheck_module([=] { return small_net(bits, share); }, x);
        INFO(bits, " bits, ", share, ": ", result.where);
        CHECK(result.error < 1e-5);
      }
  }

  TEST_CASE(
      "paper-aqe 6.4: the rule hands the float weights the gradient of the loss as a function of them") {
    const Tensor x = nn::normal({7, 5}, 1, Rng(5));
    const std::vector<std::uint8_t> labels{0, 1, 2, 0, 1, 2, 0};
    for (const LevelScale scale : kScales) {
      const auto net = small_net(2, 0.3);
      quant::WeightRule rule(*net,
                             quant::weight_projections("fixed_levels", {.bits = 2, .level_scale = scale}),
                             at_sharpness(3), {.quantize_last = true});
      const auto loss = [&] {
        rule.project();
        return cross_entropy((*net)(x), labels);
      };
      loss().backward();
      rule.before_step();
      for (const auto& entry : rule.weights()) {
        const Tensor g = entry.weight->grad();
        double largest = 0, worst = 0;
        for (std::int64_t i = 0; i < g.numel(); ++i) {
          const Real h = 1e-5, at = entry.weight->value[i];
          entry.weight->value.mutable_data()[i] = at + h;
          const Real above = loss().item();
          entry.weight->value.mutable_data()[i] = at - h;
          const Real below = loss().item();
          entry.weight->value.mutable_data()[i] = at;
          largest = std::max(largest, std::abs(g[i]));
          worst = std::max(worst, std::abs(g[i] - (above - below) / (2 * h)));
        }
        INFO(entry.name);
        CHECK(largest > 1e-3);
        CHECK(worst <= 1e-5 * largest);
      }
    }
  }

  TEST_CASE("paper-aqe 6.4: a straight-through gradient would not pass") {
    const Tensor w = nn::normal({12}, 0.6, Rng(3));
    const auto relaxation = at_sharpness(5);
    const auto projection = levels({.bits = 2, .level_scale = LevelScale::unit});
    const auto straight = [&](const std::vector<Var>& leaves) {
      return record("straight", relaxation->used(*projection, leaves[0].value()), leaves,
                    [](const Tensor& g) -> Gradients { return {g}; });
    };
    CHECK(gradcheck(straight, {w}).error > 0.1);
  }
#endif

  TEST_CASE("paper-aqe 6.5: what is deployed lies on the levels, whatever the sharpness") {
    const Tensor w = nn::normal({6, 3, 3, 20}, 0.4, Rng(6));
    for (const ProjectionOptions& o : all_options()) {
      INFO(text(o));
      const auto projection = levels(o);
      const LevelSet set = level_set(o.bits, o.three_bits);
      const Tensor p = projection->project(w);
      REQUIRE(quant::power_codes(p));
      const auto& scales = quant::power_codes(p)->scales();
      CHECK(scales.size() == (o.per_channel ? 6u : 1u));
      std::set<Real> used;
      int wrong = 0;
      for (std::int64_t i = 0; i < w.numel(); ++i) {
        const Real scale =
            scales[static_cast<std::size_t>(i * static_cast<std::int64_t>(scales.size()) / w.numel())];
        const double reach = o.level_scale == LevelScale::fitted ? double(scale) : 1;
        const double q = set.nearest(double(w[i]) / reach);
        wrong += p[i] != scale * static_cast<Real>(q);
        used.insert(static_cast<Real>(q));
      }
      CHECK(wrong == 0);
      CHECK(used.size() == set.levels().size());
    }
  }

  TEST_CASE(
      "paper-aqe 6.5: at the end of the schedule the smooth weights and activations are the hard ones") {
    const Tensor w = nn::normal({4000}, 0.6, Rng(7));
    for (const ProjectionOptions& o : all_options()) {
      if (o.per_channel) continue;
      INFO(text(o));
      const auto projection = levels(o);
      const auto distance = [&](double share, double hard_from) {
        const auto relaxation = quant::relaxation("asymptotic", {.hard_from = hard_from});
        relaxation->advance({share, 1});
        const Tensor x = relaxation->used(*projection, w), p = projection->project(w);
        double sum = 0;
        for (std::int64_t i = 0; i < w.numel(); ++i) sum += std::abs(double(x[i]) - double(p[i]));
        return sum / static_cast<double>(w.numel());
      };
      // ln 2 / T times the sum of the steps, times the density of the weights, 0.665 at most.
      const LevelSet set = level_set(o.bits, o.three_bits);
      const double law = std::numbers::ln2 * set.least_step() / 100 * 2 * set.highest() * 0.665;
      CHECK(distance(0, 1) > 0.05);
      CHECK(distance(0.5, 1) < 0.7 * distance(0, 1));
      CHECK(distance(1, 1) < 1.2 * law);
      CHECK(distance(1, 0.9) == 0);
    }
  }
}

TEST_SUITE("quant") {
  TEST_CASE(
      "asymptotic activations: smooth in training, hard in evaluation and at the end, codes with the hard") {
    const Tensor x({9}, {-2, -1, Real(-0.75), Real(-0.5), 0, Real(0.25), Real(0.5), Real(0.75), 3});
    const std::vector<std::vector<Real>> hard{{-1, -1, -1, -1, 1, 1, 1, 1, 1},
                                              {-1, -1, -1, -1, 0, 0, 1, 1, 1},
                                              {-1, -1, -1, -0.5, 0, 0.5, 0.5, 1, 1}};
    for (const int bits : {1, 2, 3}) {
      INFO(bits, " bits");
      const auto act = activation(bits, 0.2, 0.9);
      const Var smooth = (*act)(x);
      CHECK(smooth.value().coded() == nullptr);
      const AsymptoticMap map(
          level_set(bits), SharpnessSchedule{.hard_from = 0.9}.sharpness(0.2) / level_set(bits).least_step());
      for (std::int64_t i = 0; i < 9; ++i)
        CHECK(std::abs(double(smooth.value()[i]) - map.value(double(x[i]))) < 1e-6);
      act->eval();
      CHECK(act->hard());
      const Tensor judged = (*act)(x).value();
      act->train();
      CHECK_FALSE(act->hard());
      act->advance({0.95, 1});
      CHECK(act->hard());
      const Var in = Var::leaf(x), late = (*act)(in);
      late.backward(Tensor({9}, 1));
      REQUIRE(judged.coded());
      CHECK(judged.coded()->is_signed());
      for (std::int64_t i = 0; i < 9; ++i) {
        CHECK(judged[i] == hard[static_cast<std::size_t>(bits - 1)][static_cast<std::size_t>(i)]);
        CHECK(late.value()[i] == judged[i]);
        CHECK(in.grad()[i] == 0);
      }
    }
  }

  TEST_CASE("asymptotic activations: the highest level, NaN, nothing") {
    AsymptoticActivation act(3, ThreeBits::three_powers, 2, {});
    act.eval();
    const Real nan = std::numeric_limits<Real>::quiet_NaN();
    const Tensor y = act(Tensor({4}, {5, Real(0.3), nan, -1})).value();
    CHECK(y[0] == 2);
    CHECK(y[1] == Real(0.5));
    CHECK(std::isnan(y[2]));
    CHECK(y[3] == -1);
    CHECK(act(Tensor({0, 3})).value().numel() == 0);
    act.train();
    CHECK(std::isnan(act(Tensor({1}, nan)).value()[0]));
    CHECK_THROWS_AS(AsymptoticActivation(2, ThreeBits::two_powers, 0, {}), Error);
    CHECK_THROWS_AS(AsymptoticActivation(2, ThreeBits::two_powers, 1, {.first = 0}), Error);
  }

  TEST_CASE("asymptotic activations by name: bits, options, no surrogate") {
    const auto make = quant::activation_quantizer("asymptotic", {.bits = 2, .alpha = 2, .hard_from = 0.5});
    const auto act = make("act");
    auto* made = dynamic_cast<AsymptoticActivation*>(act.get());
    REQUIRE(made);
    CHECK(made->bits() == 2);
    CHECK((*act)(Tensor({1}, Real(50))).value()[0] == 2);
    made->advance({1, 2});
    CHECK(made->hard());
    CHECK_THROWS_AS(quant::activation_quantizer("asymptotic", {.bits = 4}), UsageError);
    CHECK_THROWS_AS(quant::activation_quantizer("asymptotic", {.bits = 2, .surrogate = "identity"}),
                    UsageError);
    CHECK_THROWS_AS(quant::activation_quantizer("asymptotic", {.bits = 2, .sharpness = 1}), Error);
  }

  TEST_CASE("fixed levels: the reach is fitted once, kept and saved, a mean scale follows the weights") {
    const Tensor w = nn::normal({50, 40}, 0.05, Rng(8)), other = nn::normal({50, 40}, 0.2, Rng(9));
    quant::FixedLevels fitted({.bits = 2});
    fitted.begin(w);
    const Real reach = fitted.reach(w)[0];
    // The best ternary scale of Gaussian weights is 1.224 deviations.
    CHECK(std::abs(double(reach) - 1.224 * 0.05) < 0.002);
    CHECK(fitted.reach(other)[0] == reach);
    CHECK(quant::power_codes(fitted.project(other))->scales()[0] == reach);
    REQUIRE(fitted.state_dict().size() == 1);
    CHECK(fitted.state_dict()[0].first == "reach");
    quant::FixedLevels mean({.bits = 1, .level_scale = LevelScale::mean});
    for (const Tensor& t : {w, other}) {
      double sum = 0;
      for (const Real v : t.view()) sum += std::abs(double(v));
      CHECK(std::abs(double(quant::power_codes(mean.project(t))->scales()[0]) - sum / 2000) < 1e-6);
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
      quant::FixedLevels projection({.bits = 2, .per_channel = true, .level_scale = scale});
      projection.begin(w);
      Tensor broken = w;
      broken.mutable_data()[7] = std::numeric_limits<Real>::infinity();
      const Tensor p = projection.project(broken);
      for (std::int64_t i = 0; i < 15; ++i) CHECK(std::isnan(p[i]) == (i / 5 == 1));
    }
  }

  TEST_CASE("asymptotic relaxation: clamps, refuses other projections, and its options") {
    const auto relaxation = quant::relaxation("asymptotic", {.strength = 2, .growth = 10, .most = 15});
    CHECK(relaxation->strength() == 2);
    relaxation->advance({5, 10});
    CHECK(std::abs(relaxation->strength() - 2 * std::sqrt(10.0)) < 1e-12);
    relaxation->advance({10, 10});
    CHECK(relaxation->strength() == 15);
    CHECK(std::abs(quant::relaxation("asymptotic")->strength() - 1.5) < 1e-12);
    const auto ternary = quant::weight_projection("ternary", {.bits = 2});
    CHECK_THROWS_AS(relaxation->used(*ternary, Tensor({3})), UsageError);
    CHECK_THROWS_AS(quant::relaxation("asymptotic", {.strength = -1}), Error);
    CHECK_THROWS_AS(quant::relaxation("asymptotic", {.growth = 0.5}), Error);
    CHECK_THROWS_AS(quant::relaxation("asymptotic", {.hard_from = 0}), Error);

    const auto unit = levels({.bits = 2, .level_scale = LevelScale::unit});
    Tensor w({4}, {-3, Real(0.2), 1, 8});
    relaxation->after_step(*unit, 0.1, w);
    const Real expected[] = {-1, Real(0.2), 1, 1};
    for (std::int64_t i = 0; i < 4; ++i) CHECK(w[i] == expected[i]);

    const auto late = quant::relaxation("asymptotic", {.hard_from = 0.5});
    late->advance({3, 4});
    CHECK(quant::power_codes(late->used(*unit, w)) != nullptr);
    for (const Real d : late->gradient(*unit, w, Tensor({4}, 1)).view()) CHECK(d == 0);
  }

  TEST_CASE("asymptotic weights and activations have the same bits for 1 and 2 threads") {
    const Tensor w = nn::normal({8, 9000}, 0.5, Rng(11)), g = nn::normal({8, 9000}, 1, Rng(12));
    for (const ProjectionOptions& o : all_options()) {
      INFO(text(o));
      CHECK(same_with_two_threads([&] {
        const auto projection = levels(o);
        const auto relaxation = at_sharpness(3);
        std::vector<Real> all;
        for (const Tensor& t : {relaxation->used(*projection, w), relaxation->gradient(*projection, w, g),
                                projection->project(w)})
          all.insert(all.end(), t.view().begin(), t.view().end());
        return all;
      }));
    }
    CHECK(same_with_two_threads([&] {
      const auto act = activation(2, 0.4);
      const Var x = Var::leaf(w), y = (*act)(x);
      y.backward(g);
      std::vector<Real> all(y.value().view().begin(), y.value().view().end());
      all.insert(all.end(), x.grad().view().begin(), x.grad().view().end());
      return all;
    }));
  }
}
