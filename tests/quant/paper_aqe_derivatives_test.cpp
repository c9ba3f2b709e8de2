// Derivatives of the asymptotic-quantized estimator, which are none of its forward map, and what becomes of them over
// layers and in the optimizer. In double.
#include <doctest/doctest.h>

#include <cmath>

#include "core/gradcheck.h"
#include "core/ops.h"
#include "nn/layers.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "quant/activations/mix.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/fixed_levels.h"
#include "quant/weights/weight_rule.h"

using namespace coarsegrad;
using quant::MixActivation, quant::MixFactor, quant::MixOptions;

namespace {

quant::MixActivationOptions constant(int bits, double a, MixFactor factor = MixFactor::paper) {
  return {.bits = bits, .mix = {.first = a, .last = a, .factor = factor}};
}

double at(MixActivation& act, double x) { return act(Tensor({1}, x)).value()[0]; }

double difference(MixActivation& act, double x) { return (at(act, x + 1e-6) - at(act, x - 1e-6)) / 2e-6; }

/// The gradient of the first weight of nine layers of width 1, image and logits not quantized.
double first_gradient(double a, MixFactor factor) {
  nn::Sequential net;
  for (int k = 0; k < 9; ++k) {
    if (k > 0) net.add<MixActivation>(cat("act", k), constant(1, a, factor));
    auto& fc = net.add<nn::Linear>(cat("fc", k), 1, 1, Rng(1), false);
    fc.weight.value = Tensor({1, 1}, .4 + .05 * k);
  }
  quant::WeightRule rule(net, {"fixed_levels", quant::FixedLevelsOptions{.bits = 1}},
                         {"mix", MixOptions{.first = a, .last = a, .factor = factor}});
  optim::Sgd sgd(net.parameters(), {.lr = .1});
  quant::QuantizedOptimizer optimizer(sgd, net, {.weights = &rule}, {1, 1});
  optimizer.zero_grad();
  net(Tensor({1, 1}, .1)).backward();
  optimizer.collect_gradients();
  return net.parameters()[0]->grad().item();
}

/// Steps of Adam for gradients of one weight, in units of the rate.
std::vector<double> adam_steps(const std::vector<double>& gradients) {
  Parameter w(Tensor({1}, 0.0));
  optim::Adam adam({&w}, {.lr = .01});
  std::vector<double> steps;
  for (const double g : gradients) {
    const double before = w.value.item();
    w.set_grad(Tensor({1}, g));
    adam.step();
    steps.push_back((w.value.item() - before) / .01);
  }
  return steps;
}

}  // namespace

TEST_SUITE("paper-aqe") {
  TEST_CASE("paper-aqe 11.6: the mix jumps at thresholds by a times the step of the quantizer, and rises by 1 - a") {
    struct Jump {
      int bits;
      double threshold, step;
    };
    for (const double a : {.25, .5, .75}) {
      for (const Jump& jump : {Jump{1, 0, 2}, Jump{2, .05, 1}, Jump{2, -.05, 1}, Jump{3, .125, .25}, Jump{3, .375, .25},
                               Jump{3, .75, .5}, Jump{3, -.75, .5}}) {
        const auto& [bits, threshold, step] = jump;
        INFO(jump.bits, " bits, at ", jump.threshold, ", a = ", a);
        MixActivation act(constant(bits, a));
        CHECK(std::abs(at(act, threshold + 1e-9) - at(act, threshold - 1e-9) - a * step) <= 1e-8);
      }
      for (const int bits : {1, 2, 3}) {
        MixActivation act(constant(bits, a));
        for (const double x : {-.9, -.6, -.2, .03, .2, .6, .9}) CHECK(std::abs(difference(act, x) - (1 - a)) <= 1e-8);
      }
    }
  }

  TEST_CASE("paper-aqe 11.9: differences are 1 - a, the factor is 2a, and they agree at a = 1/3 alone") {
    struct Golden {
      double a, difference, factor, of_equation_15;
    };
    for (const Golden& golden : {Golden{.25, .75, .5, 3}, Golden{1. / 3, 2. / 3, 2. / 3, 2}, Golden{.5, .5, 1, 1},
                                 Golden{.75, .25, 1.5, 1. / 3}}) {
      const auto& [a, slope, factor, of_equation_15] = golden;
      CAPTURE(golden.a);
      MixActivation act(constant(1, a));
      CHECK(std::abs(difference(act, .3) - slope) <= 1e-8);
      const Var x = Var::leaf(Tensor({1}, .3));
      act(x).backward();
      CHECK(std::abs(x.grad().item() - factor) <= 1e-12);
      CHECK(std::abs((1 - a) / a - of_equation_15) <= 1e-12);
    }
  }

  TEST_CASE("paper-aqe 11.9: a gradient check against the forward map reports a difference, but for a = 1/3") {
    const auto error = [](double a) {
      MixActivation act(constant(1, a));
      return gradcheck([&](const std::vector<Var>& in) { return act(in[0]); }, {Tensor({1}, .3)}).error;
    };
    CHECK(std::abs(error(.75) - 5) <= 1e-6);  // |1.5 - .25| / .25
    CHECK(error(.5) > .9);
    CHECK(error(1. / 3) <= 1e-8);
  }

  TEST_CASE("paper-aqe 11.15: over nine quantized layers factors multiply, and the forward pass does not know") {
    for (const auto& [key, product] :
         {std::pair{.25, .001953125}, std::pair{.5, 1.}, std::pair{.75, 38.443359375}, std::pair{1., 512.}}) {
      const double a = key;
      CAPTURE(a);
      const double ratio = first_gradient(a, MixFactor::paper) / first_gradient(a, MixFactor::one);
      CHECK(std::abs(ratio / product - 1) <= 1e-9);
    }
  }

  TEST_CASE("paper-aqe 11.15: Adam does not see a constant factor, up to its epsilon") {
    CHECK(std::abs(.01 * adam_steps({.003})[0] + .009999966666777777) <= 1e-15);
    CHECK(std::abs(.01 * adam_steps({.0045})[0] + .009999977777827161) <= 1e-15);
    std::vector<double> plain, larger;
    for (int k = 1; k <= 100; ++k) {
      plain.push_back(.01 * std::sin(k));
      larger.push_back(1.5 * plain.back());
    }
    const std::vector<double> a = adam_steps(plain), b = adam_steps(larger);
    double most = 0;
    for (std::size_t k = 0; k < a.size(); ++k) most = std::max(most, std::abs(a[k] - b[k]));
    CHECK(most < 1e-6);
    CHECK(most > 0);
  }
}
