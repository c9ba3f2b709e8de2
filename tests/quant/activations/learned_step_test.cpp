// LSQ against its equations, for activations and weights: grids, both gradients, their scale, the start.
#include "quant/activations/learned_step.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/deferred.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/trained.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/learned_step.h"
#include "quant/weights/projection.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::LearnedStepActivation;

namespace {

// Equations 1 to 3 and 5 at one place.
struct Element {
  double code, dv, ds;
};
Element lsq(double v, double s, double q_n, double q_p) {
  const double q = v / s, code = std::nearbyint(std::clamp(q, -q_n, q_p));
  const bool inside = q > -q_n && q < q_p;
  return {code, inside ? 1. : 0., inside ? code - q : q <= -q_n ? -q_n : q_p};
}

std::unique_ptr<quant::WeightProjection> weights(int bits, const Tensor& w) {
  auto projection = quant::weight_projection({"lsq", quant::LearnedStepWeightOptions{.bits = bits}});
  projection->begin(w);
  return projection;
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("lsq activations: codes, the gradient to v and the scaled one to s are the paper's") {
    with_each_table([] {
      const Tensor x = nn::uniform({8, 5, 5, 16}, 3, Rng(1)), g = nn::uniform({8, 5, 5, 16}, 1, Rng(2));
      for (const int bits : {1, 2, 4, 8}) {
        const Real s = Real(2) / static_cast<Real>((1 << bits) - 1);
        LearnedStepActivation act({.bits = bits, .step = static_cast<double>(s)});
        CHECK(act.bits() == bits);
        const Var leaf = Var::leaf(x);
        const Var y = act(leaf);
        REQUIRE(y.value().coded() != nullptr);
        y.backward(g);
        const double q_p = (1 << bits) - 1;
        double ds = 0, size = 0;
        for (std::int64_t i = 0; i < x.numel(); ++i) {
          const Element e = lsq(static_cast<double>(x[i] / s), 1, 0, q_p);
          CHECK(y.value().coded()->codes()[i] == e.code);
          CHECK(y.value()[i] == s * static_cast<Real>(e.code));
          CHECK(leaf.grad()[i] == g[i] * static_cast<Real>(e.dv));
          ds += static_cast<double>(g[i]) * e.ds;
          size += std::abs(static_cast<double>(g[i]));
        }
        const double scale = 1 / std::sqrt(400 * q_p);
        CHECK(std::abs(static_cast<double>(act.step.grad().item()) - scale * ds) <= 1e-5 * scale * size * q_p);
        CHECK(std::abs(scale * ds) > 1e-4 * scale * size);
      }
    });
  }

  TEST_CASE("lsq activations: the first batch of the training sets the step to 2 mean(max(x, 0)) / sqrt(Q_P)") {
    const Tensor x = nn::uniform({4, 300}, 3, Rng(3));
    double sum = 0;
    for (const Real v : x.view()) sum += std::max(0., static_cast<double>(v));
    const double expected = 2 * sum / 1200 / std::sqrt(15.);
    LearnedStepActivation act({.bits = 4});
    act.eval();
    act(x);
    CHECK(act.step.value.item() == 0);  // an evaluation does not
    act.train();
    act(x);
    CHECK(static_cast<double>(act.step.value.item()) == doctest::Approx(expected).epsilon(1e-5));
    act(nn::uniform({4, 300}, 30, Rng(4)));
    CHECK(static_cast<double>(act.step.value.item()) == doctest::Approx(expected).epsilon(1e-5));
    // Behind a normalisation too, with what comes out of it.
    LearnedStepActivation behind({.bits = 4});
    nn::BatchNorm norm(8);
    Tensor images({256, 8});
    Rng(5).normal(images.mutable_data(), 2048, Real(3), Real(7));
    behind(norm(images));
    CHECK(static_cast<double>(behind.step.value.item()) == doctest::Approx(2 * 0.3989 / std::sqrt(15.)).epsilon(0.05));
    // A step that a state brings is kept.
    LearnedStepActivation loaded({.bits = 4});
    loaded.load_state_dict({{"step", Tensor::scalar(Real(0.25))}});
    loaded(x);
    CHECK(loaded.step.value.item() == Real(0.25));
  }

  TEST_CASE("lsq weights: codes from -2^(b-1) to 2^(b-1) - 1, both gradients, and the step at the start") {
    const Tensor w = nn::uniform({30, 40}, 1, Rng(6)), g = nn::uniform({30, 40}, 1, Rng(7));
    for (int bits = 2; bits <= 8; ++bits) {
      INFO(bits, " bits");
      const double q_n = 1 << (bits - 1), q_p = q_n - 1;
      const auto projection = weights(bits, w);
      Parameter& step = *projection->parameters().at(0);
      double sum = 0;
      for (const Real v : w.view()) sum += std::abs(static_cast<double>(v));
      CHECK(static_cast<double>(step.value.item()) == doctest::Approx(2 * sum / 1200 / std::sqrt(q_p)).epsilon(1e-5));
      CHECK(!step.decay);
      step.value = Tensor::scalar(static_cast<Real>(0.9 / q_n));  // some weights beyond both ends
      const Real s = step.value.item();
      const Tensor p = projection->project(w);
      const auto [dw, own] = projection->gradient(w, g);
      double ds = 0, size = 0;
      int lowest = 0, highest = 0;
      for (std::int64_t i = 0; i < w.numel(); ++i) {
        const Element e = lsq(static_cast<double>(w[i] / s), 1, q_n, q_p);
        CHECK(p.coded()->signed_codes()[i] == e.code);
        CHECK(p[i] == s * static_cast<Real>(e.code));
        CHECK(dw[i] == g[i] * static_cast<Real>(e.dv));
        ds += static_cast<double>(g[i]) * e.ds;
        size += std::abs(static_cast<double>(g[i]));
        lowest += e.code == -q_n;
        highest += e.code == q_p;
      }
      CHECK(lowest > 10);
      CHECK(highest > 10);
      const double scale = 1 / std::sqrt(1200 * q_p);
      CHECK(std::abs(static_cast<double>(own.at(0).item()) - scale * ds) <= 1e-5 * scale * size * q_n);
      CHECK(!step.grad().defined());  // nothing is written on the side
    }
  }

  TEST_CASE("lsq: at the clip itself activations have the derivatives (1, 0), weights the paper's (0, Q_P)") {
    LearnedStepActivation act({.bits = 2, .step = 0.5});
    const Var x = Var::leaf(Tensor({1, 1}, Real(1.5)));
    act(x).backward(Tensor({1, 1}, 1));
    CHECK(x.grad()[0] == 1);
    CHECK(act.step.grad().item() == 0);
    const auto projection = weights(3, Tensor({1, 1}, Real(1.5)));
    projection->parameters().at(0)->value = Tensor::scalar(Real(0.5));
    for (const auto& [w, q] : {std::pair{1.5, 3}, std::pair{-2., -4}}) {
      const auto [dw, ds] = projection->gradient(Tensor({1, 1}, static_cast<Real>(w)), Tensor({1, 1}, 1));
      CHECK(dw[0] == 0);
      CHECK(static_cast<double>(ds.at(0).item()) == doctest::Approx(q / std::sqrt(3.)));
    }
  }

  TEST_CASE("lsq: ties go to the even code, zeros to zeros, what is not finite to NaN, and 1 bit is refused") {
    const auto projection = weights(4, Tensor({1}, Real(1)));
    projection->load_state_dict({{"step", Tensor::scalar(Real(0.5))}});
    const Tensor p = projection->project(Tensor({6}, {Real(.25), Real(.75), Real(-.25), Real(-.75), 10, -10}));
    const int codes[] = {0, 2, 0, -2, 7, -8};
    for (std::int64_t i = 0; i < 6; ++i) CHECK(p.coded()->signed_codes()[i] == codes[i]);
    for (const Real v : projection->project(Tensor({3, 2})).view()) CHECK(v == 0);
    CHECK(projection->project(Tensor({0, 2})).shape() == Shape{0, 2});
    for (const Real bad : {std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity()})
      for (const Real v : projection->project(Tensor({3}, {1, bad, 2})).view()) CHECK(std::isnan(v));
    for (const int bits : {0, 1, 9})
      CHECK_THROWS_AS(quant::weight_projection({"lsq", quant::LearnedStepWeightOptions{.bits = bits}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projections().part("lsq").with("per-channel", true), UsageError);
    const auto least = static_cast<double>(std::numeric_limits<Real>::denorm_min());
    for (const double step : {-1., least, HUGE_VAL, std::nan("")})
      CHECK_THROWS_AS(LearnedStepActivation({.step = step}), Error);
    CHECK_THROWS_AS(LearnedStepActivation({.rate_factor = -1}), Error);
    CHECK_THROWS_AS(LearnedStepActivation({.bits = 9}), UsageError);
  }

  TEST_CASE("lsq: a training moves the steps of weights and activations, and a float net's state starts it") {
    const auto make = quant::make_activation(Part{"lsq", quant::LearnedStepOptions{.bits = 2}});
    const auto net = nn::lenet5(make, Rng(8));
    quant::load_state_with_any_alphas(*net, nn::lenet5(nn::relu_activation(), Rng(9))->state_dict());
    quant::WeightRule rule(*net, Part{"lsq", quant::LearnedStepWeightOptions{.bits = 2}}, Part{"none"},
                           quant::LayerExceptions({"last: weights=float"}));
    std::vector<Parameter*> all = net->parameters(), steps = rule.parameters();
    REQUIRE(steps.size() == rule.weights().size());
    all.insert(all.end(), steps.begin(), steps.end());
    for (const auto& [name, p] : net->named_parameters())
      if (name.ends_with(".step")) steps.push_back(p);
    optim::Sgd sgd(all, {.lr = 0.05, .momentum = 0.9});
    quant::QuantizedOptimizer optimizer(sgd, *net, {.weights = &rule}, {12, 1});
    const Tensor images = nn::uniform({8, 28, 28, 1}, 1, Rng(10));
    const Tensor labels = Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7});
    std::vector<Real> losses, started;
    for (int step = 0; step < 12; ++step) {
      optimizer.zero_grad();
      const Var loss = cross_entropy((*net)(images), labels);
      losses.push_back(loss.item());
      loss.backward();
      if (step == 0)
        for (const Parameter* p : steps) started.push_back(p->value.item());
      optimizer.step();
    }
    CHECK(losses.back() < losses.front() / 2);
    for (std::size_t i = 0; i < steps.size(); ++i) CHECK(steps[i]->value.item() != started[i]);
  }

  TEST_CASE("lsq: sums have the same bits for 1 and 2 threads") {
    const Tensor x = nn::uniform({2, 100001}, 2, Rng(11)), g = nn::uniform({2, 100001}, 1, Rng(12));
    CHECK(same_with_two_threads([&] {
      LearnedStepActivation act({.bits = 4});
      act(Var::leaf(x)).backward(g);
      const auto projection = weights(4, x);
      return std::vector<Real>{act.step.value.item(), act.step.grad().item(),
                               projection->gradient(x, g).parameters.at(0).item()};
    }));
  }
}
