// The rule that trains projected weights, on networks: which weights it takes, when it moves what.
#include "quant/weights/weight_rule.h"

#include <doctest/doctest.h>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/deferred.h"
#include "core/map.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/trained.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using Names = std::vector<std::string>;

namespace {

quant::MakeWeightProjection projections(const char* name, int bits) {
  return quant::weight_projections(name, {.bits = bits});
}

std::unique_ptr<quant::Relaxation> blend(double rho) { return quant::relaxation("blend", {.strength = rho}); }

Names names_of(nn::Module& net, const quant::WeightRuleOptions& options) {
  Names names;
  const quant::WeightRule rule(net, projections("binary", 1), options);
  for (const auto& entry : rule.weights()) names.push_back(entry.name);
  return names;
}

// LeNet-5 with quantized weights and 4-bit activations with trained alpha, on eight images.
class Training {
 public:
  Training(const char* name, int bits)
      : rule_(*net_, projections(name, bits), blend(1e-3)),
        sgd_(net_->parameters(), {.lr = 0.02, .momentum = 0.9}),
        images_(nn::uniform({8, 28, 28, 1}, 1, Rng(2))) {}
  Real step() {
    rule_.project();
    const Var loss = cross_entropy((*net_)(images_), labels_);
    sgd_.zero_grad();
    loss.backward();
    rule_.before_step();
    sgd_.step();
    rule_.after_step(sgd_.lr);
    return loss.item();
  }

 private:
  const Tensor labels_ = Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7});
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
    quant::WeightRule rule(*net, projections("ternary", 2), {.quantize_last = true});
    const std::vector<Real> plain = values((*net)(x).value());
    rule.project();
    const std::vector<Real> projected = values((*net)(x).value());
    CHECK(projected != plain);
    // The same from a network whose weights are the projections.
    const auto hard = nn::lenet5(nn::relu_activation(), Rng(1));
    hard->eval();
    for (const auto& [name, p] : hard->named_parameters())
      if (name.ends_with("weight")) {
        const Tensor w = quant::weight_projection("ternary", {.bits = 2})->project(p->value);
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
    quant::WeightRule rule(*net, projections("binary", 1));
    rule.project();
    (*net)(nn::uniform({2, 28, 28, 1}, 1, Rng(2))).backward(Tensor({2, 10}, Real(1)));
    for (const auto& [name, p] : net->named_parameters()) {
      CHECK(p->grad().defined());
      const bool ruled =
          std::ranges::count(rule.weights(), name, [](const auto& entry) { return entry.name; }) == 1;
      CHECK(p->used.defined() == ruled);
      if (ruled) CHECK(p->used.coded()->bits() == 1);
    }
  }

  TEST_CASE("weight rule: a training step is refused whose forward pass had no project() of its own") {
    nn::Linear layer(3, 2, Rng(1));
    quant::WeightRule rule(layer, projections("binary", 1), {.quantize_last = true});
    const std::string missing = "given a step without project() since the one before";
    const auto step = [&] { return complaint_of([&] { rule.before_step(); }); };
    CHECK_SAYS(step(), missing);
    rule.project();
    CHECK(step() == "");
    CHECK_SAYS(step(), missing);
    rule.project();
    rule.deploy();
    CHECK_SAYS(step(), missing);
    rule.project();
    rule.release();
    CHECK_SAYS(step(), missing);
  }

  TEST_CASE("weight rule: an optimizer that lacks what the rule trains is refused in the second step") {
    for (const bool complete : {true, false}) {
      nn::Linear layer(3, 2, Rng(1));
      quant::WeightRule rule(layer, projections("lsq", 2), {.quantize_last = true});
      std::vector<Parameter*> parameters = layer.parameters();
      if (complete) std::ranges::copy(rule.parameters(), std::back_inserter(parameters));
      optim::Sgd sgd(parameters, {.lr = 0.1});
      const auto step = [&] {
        rule.project();
        const Var y = layer(nn::uniform({4, 3}, 1, Rng(2)));
        sgd.zero_grad();
        y.backward(Tensor({4, 2}, Real(1)));
        rule.before_step();
        sgd.step();
      };
      step();
      const std::string second = complaint_of(step);
      if (complete)
        CHECK(second == "");
      else
        CHECK_SAYS(second,
                   "given a gradient of an earlier step in weight.step, expected the optimizer to have");
    }
  }

  // What follows is possible as long as rules and networks are put together by hand.
  TEST_CASE("weight rule: a forward pass before project() is refused" * doctest::should_fail()) {
    nn::Linear layer(3, 2, Rng(1));
    const quant::WeightRule rule(layer, projections("binary", 1), {.quantize_last = true});
    CHECK_THROWS_AS(layer(Tensor({1, 3})), Error);
  }

  TEST_CASE("weight rule: a second rule over the same weights is refused" * doctest::should_fail()) {
    nn::Linear layer(3, 2, Rng(1));
    const quant::WeightRule rule(layer, projections("binary", 1), {.quantize_last = true});
    CHECK_THROWS_AS(quant::WeightRule(layer, projections("ternary", 2), {.quantize_last = true}), Error);
  }

  TEST_CASE("blend: rho = 0 leaves the float copies alone, another pulls them, and projecting comes first") {
    nn::Linear layer(3, 2, Rng(1));
    layer.weight.value = Tensor({2, 3}, {1, -3, 2, Real(0.5), -1, Real(1.5)});
    const std::vector<Real> before = values(layer.weight.value);
    quant::WeightRule still(layer, projections("binary", 1), blend(0), {.quantize_last = true});
    CHECK_THROWS_AS(still.before_step(), Error);
    still.project();
    still.before_step();
    CHECK(values(layer.weight.value) == before);
    quant::WeightRule rule(layer, projections("binary", 1), blend(0.25), {.quantize_last = true});
    rule.project();
    const Tensor kept = layer.weight.value;
    rule.before_step();
    const std::vector<Real> blended = values(layer.weight.value);
    for (std::size_t i = 0; i < 6; ++i)
      CHECK(blended[i] == doctest::Approx(0.75 * before[i] + 0.25 * (before[i] < 0 ? -1.5 : 1.5)));
    CHECK(values(kept) == before);
  }

  TEST_CASE("blend: a factor per epoch up to a cap, options out of range are refused") {
    const auto rho = [](const quant::RelaxationOptions& options, double epoch) {
      const auto r = quant::relaxation("blend", options);
      r->advance({epoch, 1000});
      return r->strength();
    };
    CHECK(rho({.strength = 1e-5}, 100) == 1e-5);
    CHECK(rho({.strength = 1e-5, .growth = 2}, 3) == doctest::Approx(8e-5));
    CHECK(rho({.strength = 1e-5, .growth = 2}, 3.9) == doctest::Approx(8e-5));
    CHECK(rho({.strength = 1e-5, .growth = 2, .most = 0.01}, 900) == 0.01);
    CHECK(rho({.strength = 0.5, .growth = 1.1}, 1) == doctest::Approx(0.55));
    CHECK_THROWS_AS(quant::relaxation("blend", {.strength = -0.1}), Error);
    CHECK_THROWS_AS(quant::relaxation("blend", {.strength = 1.5}), Error);
    CHECK_THROWS_AS(quant::relaxation("blend", {.strength = 0.5, .most = 0.1}), Error);
    CHECK_THROWS_AS(quant::relaxation("blend", {.strength = 1e-5, .growth = 0.5}), Error);
    CHECK_THROWS_AS(quant::relaxation("blended"), UsageError);
  }

  TEST_CASE("weight rule: parts of one's own, their gradients, parameters and state") {
    // w / step is rounded; the step is trained by the sum of the gradients, and the gradient of w is doubled.
    class Rounded : public quant::WeightProjection {
     public:
      std::string name() const override { return "rounded"; }
      int bits() const override { return 8; }
      void begin(const Tensor& w) override { step.value = Tensor({}, Real(w.numel())); }
      Tensor project(const Tensor& w) override {
        ++calls.mutable_data()[0];
        return map(w, [s = step.value.item()](Real v) { return s * std::round(v / s); });
      }
      Tensor gradient(const Tensor&, const Tensor& g) override {
        Real sum = 0;
        for (const Real v : g.view()) sum += v;
        step.set_grad(Tensor({}, sum));
        return map(g, [](Real v) { return 2 * v; });
      }
      Parameter& step = register_parameter("step", Tensor({}, Real(1)));
      Tensor& calls = register_buffer("calls", Tensor({1}));
    };
    // The network computes with the mean of w and its projection; afterwards w is shifted by the rate.
    class Half : public quant::Relaxation {
     public:
      std::string name() const override { return "half"; }
      Tensor used(quant::WeightProjection& p, const Tensor& w) override {
        return zip(w, p.project(w), [](Real a, Real b) { return (a + b) / 2; });
      }
      void after_step(quant::WeightProjection&, double rate, Tensor& w) override {
        w = map(w, [rate](Real v) { return v + static_cast<Real>(rate); });
      }
    };
    nn::Linear layer(3, 2, Rng(1), false);
    layer.weight.value = Tensor({2, 3}, {1, -3, 2, 4, -1, 8});
    quant::WeightRule rule(layer, [](const std::string&) { return std::make_unique<Rounded>(); },
                           std::make_unique<Half>(), {.quantize_last = true});
    REQUIRE(rule.parameters().size() == 1);
    Parameter& step = *rule.parameters()[0];
    CHECK(step.value.item() == 6);
    rule.project();
    CHECK(values(layer.weight.used) == std::vector<Real>{0.5, -4.5, 1, 5, -0.5, 7});
    layer(Tensor({1, 3}, {1, 2, 3})).backward(Tensor({1, 2}, {1, 10}));
    rule.before_step();
    CHECK(values(layer.weight.grad()) == std::vector<Real>{2, 4, 6, 20, 40, 60});
    CHECK(step.grad().item() == 66);
    rule.after_step(0.5);
    CHECK(values(layer.weight.value) == std::vector<Real>{1.5, -2.5, 2.5, 4.5, -0.5, 8.5});
    rule.deploy();
    CHECK(values(layer.weight.used) == std::vector<Real>{0, 0, 0, 6, 0, 6});

    const nn::StateDict state = rule.state_dict();
    REQUIRE(state.size() == 2);
    CHECK(state[0].first == "weight.step");
    CHECK(state[1].first == "weight.calls");
    CHECK(state[1].second[0] == 2);
    step.value = Tensor({}, Real(1));
    rule.load_state_dict(state);
    CHECK(step.value.item() == 6);
    nn::StateDict strange = state;
    strange.emplace_back("bias.step", Tensor({}, Real(1)));
    CHECK_THROWS_AS(rule.load_state_dict(strange), Error);
    strange = {state[0]};
    CHECK_THROWS_AS(rule.load_state_dict(strange), Error);
  }

  TEST_CASE("projection as an op: its value and its gradient") {
    const auto binary = quant::weight_projection("binary", {});
    const Var w = Var::leaf(Tensor({3}, {1, -2, 3}));
    const Var q = (*binary)(w);
    CHECK(values(q.value()) == std::vector<Real>{2, -2, 2});
    q.backward(Tensor({3}, {5, 6, 7}));
    CHECK(values(w.grad()) == std::vector<Real>{5, 6, 7});
    CHECK_THROWS_AS(binary->gradient(w.value(), Tensor({2})), Error);
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
