// The rule that trains projected weights, on networks: which weights it takes, when it moves what.
#include "quant/weight_rule.h"

#include <doctest/doctest.h>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/deferred.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/trained_activation.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using Names = std::vector<std::string>;

namespace {

std::shared_ptr<const quant::WeightProjection> projection(const char* name, int bits) {
  return quant::weight_projection(name, {.bits = bits});
}

Names names_of(nn::Module& net, const quant::WeightRuleOptions& options) {
  Names names;
  const quant::WeightRule rule(net, projection("binary", 1), options);
  for (const auto& [name, weight] : rule.weights()) names.push_back(name);
  return names;
}

// LeNet-5 with quantized weights and 4-bit activations with trained alpha, on eight images.
class Training {
 public:
  Training(const char* name, int bits)
      : rule_(*net_, projection(name, bits), {.rho = 1e-3}),
        sgd_(net_->parameters(), {.lr = 0.02, .momentum = 0.9}),
        images_(nn::uniform({8, 28, 28, 1}, 1, Rng(2))) {}
  Real step() {
    rule_.project();
    const Var loss = cross_entropy((*net_)(images_), kLabels);
    sgd_.zero_grad();
    loss.backward();
    rule_.before_step();
    sgd_.step();
    return loss.item();
  }

 private:
  static constexpr std::uint8_t kLabels[] = {0, 1, 2, 3, 4, 5, 6, 7};
  std::unique_ptr<nn::Module> net_ = nn::lenet5(quant::trained_activation({.bits = 4}), Rng(1));
  quant::WeightRule rule_;
  optim::Sgd sgd_;
  Tensor images_;
};

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("weight rule: all convolutions and dense layers in order, first and last by choice") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    const Names all = names_of(*net, {.quantize_last = true});
    REQUIRE(all.size() == 4);
    CHECK(names_of(*net, {}) == Names(all.begin(), all.end() - 1));
    CHECK(names_of(*net, {.quantize_first = false}) == Names(all.begin() + 1, all.end() - 1));
    CHECK(names_of(*net, {.quantize_first = false, .quantize_last = true}) ==
          Names(all.begin() + 1, all.end()));
    for (const std::string& name : all) {
      const auto parameters = net->named_parameters();
      CHECK(std::ranges::count(parameters, name, [](const auto& p) { return p.first; }) == 1);
    }
    const auto resnet = nn::make_network("resnet20", nn::relu_activation(), Rng(1), {.width = 4});
    CHECK(names_of(*resnet, {}).size() == 19);
    CHECK(names_of(*resnet, {}).front() == "conv.weight");
    CHECK(names_of(*resnet, {.quantize_last = true}).back() == "fc.weight");
  }

  TEST_CASE("weight rule: a single layer is both first and last") {
    nn::Linear layer(3, 2, Rng(1));
    CHECK(names_of(layer, {}).empty());
    CHECK(names_of(layer, {.quantize_first = false, .quantize_last = true}).empty());
    CHECK(names_of(layer, {.quantize_last = true}) == Names{"weight"});
  }

  TEST_CASE("weight rule: the network computes with projections of the float copies, until released") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    net->eval();
    const NoGrad no_grad;
    const Tensor x = nn::uniform({2, 28, 28, 1}, 1, Rng(2));
    quant::WeightRule rule(*net, projection("ternary", 2), {.quantize_last = true});
    const std::vector<Real> plain = values((*net)(x).value());
    rule.project();
    const std::vector<Real> projected = values((*net)(x).value());
    CHECK(projected != plain);
    // The same from a network whose weights are the projections.
    const auto hard = nn::lenet5(nn::relu_activation(), Rng(1));
    hard->eval();
    for (const auto& [name, p] : hard->named_parameters())
      if (name.ends_with("weight")) {
        const Tensor w = projection("ternary", 2)->project(p->value);
        p->value = Tensor(w.shape(), values(w));
      }
    const std::vector<Real> expected = values((*hard)(x).value());
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(projected[i] == doctest::Approx(expected[i]).epsilon(1e-4));
    rule.release();
    CHECK(values((*net)(x).value()) == plain);
  }

  TEST_CASE("weight rule: gradients reach the float copies, biases stay float, codes are carried") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    quant::WeightRule rule(*net, projection("binary", 1));
    rule.project();
    (*net)(nn::uniform({2, 28, 28, 1}, 1, Rng(2))).backward(Tensor({2, 10}, Real(1)));
    for (const auto& [name, p] : net->named_parameters()) {
      CHECK(p->grad().defined());
      const bool ruled = std::ranges::count(rule.weights(), name, [](const auto& w) { return w.first; }) == 1;
      CHECK(p->used.defined() == ruled);
      if (ruled) CHECK(p->used.coded()->bits() == 1);
    }
  }

  TEST_CASE(
      "weight rule: rho = 0 leaves the float copies alone, another blends, and projecting comes first") {
    nn::Linear layer(3, 2, Rng(1));
    layer.weight.value = Tensor({2, 3}, {1, -3, 2, Real(0.5), -1, Real(1.5)});
    const std::vector<Real> before = values(layer.weight.value);
    quant::WeightRule rule(layer, projection("binary", 1), {.quantize_last = true});
    rule.before_step();
    CHECK(values(layer.weight.value) == before);
    rule.rho = 0.25;
    CHECK_THROWS_AS(rule.before_step(), Error);
    rule.project();
    const Tensor kept = layer.weight.value;
    rule.before_step();
    const std::vector<Real> blended = values(layer.weight.value);
    for (std::size_t i = 0; i < 6; ++i)
      CHECK(blended[i] == doctest::Approx(0.75 * before[i] + 0.25 * (before[i] < 0 ? -1.5 : 1.5)));
    CHECK(values(kept) == before);
    CHECK_THROWS_AS(quant::WeightRule(layer, projection("binary", 1), {.rho = -0.1}), Error);
    CHECK_THROWS_AS(quant::WeightRule(layer, projection("binary", 1), {.rho = 1.5}), Error);
  }

  TEST_CASE("growing rho: a factor per epoch up to a cap") {
    CHECK(quant::growing_rho(1e-5, 1, 100) == 1e-5);
    CHECK(quant::growing_rho(1e-5, 2, 3) == doctest::Approx(8e-5));
    CHECK(quant::growing_rho(1e-5, 2, 1000) == 0.01);
    CHECK(quant::growing_rho(0.5, 1.1, 1, 1) == doctest::Approx(0.55));
    CHECK_THROWS_AS(quant::growing_rho(0.5, 2, 0), Error);
    CHECK_THROWS_AS(quant::growing_rho(1e-5, 0.5, 0), Error);
    CHECK_THROWS_AS(quant::growing_rho(1e-5, 2, -1), Error);
  }

  TEST_CASE("training quantized weights and activations: the same bits for 1 and 2 threads, a falling loss") {
    for (const auto& [name, bits] : {std::pair{"binary", 1}, {"ternary", 2}}) {
      const auto losses = [name = name, bits = bits] {
        Training training(name, bits);
        std::vector<Real> loss;
        for (int step = 0; step < 12; ++step) loss.push_back(training.step());
        return loss;
      };
      CHECK(same_with_two_threads(losses));
      const std::vector<Real> loss = losses();
      CHECK(loss.back() < loss.front() / 2);
    }
  }

  TEST_CASE("training quantized weights takes no memory from the system once it is warm") {
    for (const auto& [name, bits] : {std::pair{"binary", 1}, {"ternary", 2}, {"exact", 4}}) {
      Training training(name, bits);
      for (int step = 0; step < 4; ++step) training.step();
      const auto misses = pool_stats().misses;
      for (int step = 0; step < 4; ++step) training.step();
      CHECK(pool_stats().misses == misses);
    }
  }
}
