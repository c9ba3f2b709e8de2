// Theorems 1 and 2 of Chen et al. (arXiv 2010.14298) on a fixed batch: a net of three dense layers whose
// weights and activations have 8 bits, trained with quantized gradients.
#include "experiments/studies/gradient_statistics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/ops.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "quant/activations/minmax.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/weights/minmax.h"
#include "quant/weights/weight_rule.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Net {
  nn::Sequential net;
  std::unique_ptr<quant::WeightRule> weights;
  Tensor x = nn::uniform({12, 9}, 1, Rng(2)), target = nn::uniform({12, 4}, 1, Rng(3));

  Net() {
    const Rng rng(1);
    net.add<nn::Linear>("fc1", 9, 8, rng.split("fc1"));
    net.add<quant::MinMaxActivation>("act1", 8);
    net.add<nn::Linear>("fc2", 8, 6, rng.split("fc2"));
    net.add<quant::MinMaxActivation>("act2", 8);
    net.add<nn::Linear>("fc3", 6, 4, rng.split("fc3"));
    weights = std::make_unique<quant::WeightRule>(net, Part{"minmax", quant::MinMaxWeightOptions{.bits = 8}});
    weights->deploy();
  }
  Var loss() { return mse_loss(net(x), target); }
};

std::vector<LayerStatistics> statistics(const quant::GradientRuleOptions& options, std::int64_t draws) {
  Net net;
  return gradient_statistics(
      net.net, [&net] { return net.loss(); }, options, draws, 2000, Rng(5));
}

quant::GradientRuleOptions dorefa_everywhere(int bits) {
  return {quant::gradient_quantizer("dorefa", {.bits = bits}), nullptr};
}

}  // namespace

TEST_SUITE("paper-statquant") {
  TEST_CASE(
      "paper-statquant 8.8 and 8.9: the mean is the gradient without quantizers, its variance the sum over "
      "layers" *
      doctest::test_suite("paper-statquant long")) {
    constexpr std::int64_t kDraws = 20000;
    for (const auto& options :
         {quant::gradient_rules().make({"psq", quant::BifurcatedGradientOptions{.bits = 3}}),
          quant::gradient_rules().make({"ptq", quant::BifurcatedGradientOptions{.bits = 4}}), dorefa_everywhere(3)}) {
      INFO(options.input->name());
      const auto layers = statistics(options, kDraws);
      REQUIRE(layers.size() == 3);
      for (const LayerStatistics& layer : layers) {
        INFO(layer.layer);
        double worst = 0;
        for (std::size_t i = 0; i < layer.exact.size(); ++i)
          worst = std::max(
              worst, (std::abs(layer.mean[i] - layer.exact[i]) - 1e-7) / (layer.sigma[i] / std::sqrt(kDraws) + 1e-12));
        CHECK(worst <= 6);
        CHECK(layer.measured > 0);
        CHECK(layer.measured == doctest::Approx(layer.predicted).epsilon(0.05));
      }
      CHECK(layers[0].predicted > layers[2].predicted / 100);
    }
  }

  TEST_CASE("paper-statquant 8.8, control: quantizers that round to the nearest are biased") {
    const quant::GradientRuleOptions nearest{quant::gradient_quantizer("psq", {.bits = 3, .stochastic = false}),
                                             nullptr};
    const auto layers = statistics(nearest, 2000);
    double worst = 0, most = 0;
    for (std::size_t i = 0; i < layers[0].exact.size(); ++i) {
      worst = std::max(worst, std::abs(layers[0].mean[i] - layers[0].exact[i]));
      most = std::max(most, std::abs(layers[0].exact[i]));
    }
    CHECK(layers[0].measured < 1e-12);
    CHECK(worst > 0.01 * most);
  }

  TEST_CASE("gradient statistics: what it cannot tell is refused") {
    Net net;
    const auto loss = [&net] { return net.loss(); };
    const auto psq = quant::gradient_rules().make({"psq", quant::BifurcatedGradientOptions{.bits = 3}});
    CHECK_THROWS_AS(gradient_statistics(net.net, loss, psq, 1, 1, Rng(1)), Error);
    CHECK_THROWS_AS(gradient_statistics(net.net, loss, psq, 10, 20, Rng(1)), Error);
  }
}
