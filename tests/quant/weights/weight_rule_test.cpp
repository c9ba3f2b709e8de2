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
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/trained.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/learned_step.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using Names = std::vector<std::string>;

namespace {

Part projection(const char* name, int bits) { return quant::weight_projections().part(name).with("bits", bits); }

Part blend(double rho) { return {"blend", quant::BlendOptions{.rho = rho}}; }

Names names_of(nn::Module& net, const std::vector<std::string>& exceptions) {
  Names names;
  const quant::WeightRule rule(net, projection("binary", 1), {"none"}, quant::LayerExceptions(exceptions));
  for (const auto& entry : rule.weights()) names.push_back(entry.name);
  return names;
}

// A layer of a user's own, with a weight under a name of its own.
class Scaled : public nn::Module {
 public:
  Scaled() : matrix(register_parameter("matrix", Tensor({3, 4}, Real(0.3)))) {}
  Var forward(const Var& x) override { return linear(x, matrix.var()) * Real(2); }
  Parameter* weight_parameter() override { return &matrix; }
  Parameter& matrix;
};

// LeNet-5 with quantized weights and 4-bit activations with trained alpha, on eight images.
class Training {
 public:
  Training(const char* name, int bits)
      : rule_(*net_, projection(name, bits), blend(1e-3), quant::LayerExceptions({"last: weights=float"})),
        sgd_(net_->parameters(), {.lr = 0.02, .momentum = 0.9}),
        optimizer_(sgd_, *net_, {.weights = &rule_}, {12, 1}),
        images_(nn::uniform({8, 28, 28, 1}, 1, Rng(2))) {}
  Real step() {
    optimizer_.zero_grad();
    const Var loss = cross_entropy((*net_)(images_), labels_);
    loss.backward();
    optimizer_.step();
    return loss.item();
  }

 private:
  const Tensor labels_ = Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7});
  std::unique_ptr<nn::Module> net_ =
      nn::lenet5(quant::make_activation({"trained", quant::TrainedActivationOptions{.bits = 4}}), Rng(1));
  quant::WeightRule rule_;
  optim::Sgd sgd_;
  quant::QuantizedOptimizer optimizer_;
  Tensor images_;
};

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("weight rule: all convolutions and dense layers in order, first and last by choice") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    const Names all = names_of(*net, {});
    REQUIRE(all.size() == 4);
    CHECK(names_of(*net, {"last: weights=float"}) == Names(all.begin(), all.end() - 1));
    CHECK(names_of(*net, {"first: weights=float", "last: weights=float"}) == Names(all.begin() + 1, all.end() - 1));
    CHECK(names_of(*net, {"first: weights=float"}) == Names(all.begin() + 1, all.end()));
    for (const std::string& name : all) {
      const auto parameters = net->named_parameters();
      CHECK(std::ranges::count(parameters, name, [](const auto& p) { return p.first; }) == 1);
    }
    const auto resnet = nn::make_network("resnet20", nn::relu_activation(), Rng(1), {.width = 4});
    CHECK(names_of(*resnet, {"last: weights=float"}).size() == 19);
    CHECK(names_of(*resnet, {"last: weights=float"}).front() == "conv.weight");
    CHECK(names_of(*resnet, {}).back() == "fc.weight");
  }

  TEST_CASE("weight rule: a single layer is both first and last") {
    nn::Linear layer(3, 2, Rng(1));
    CHECK(names_of(layer, {"last: weights=float"}).empty());
    CHECK(names_of(layer, {"first: weights=float"}).empty());
    CHECK(names_of(layer, {}) == Names{"weight"});
  }

  TEST_CASE("weight rule: the weight that a layer of a user's own offers is one of them, by its own name") {
    nn::Sequential net;
    net.add<Scaled>("own");
    net.add<nn::Linear>("fc", 3, 2, Rng(1));
    CHECK(names_of(net, {}) == Names{"own.matrix", "fc.weight"});
  }

  TEST_CASE("weight rule: the network computes with projections of the float copies as long as it is there") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    net->eval();
    const NoGrad no_grad;
    const Tensor x = nn::uniform({2, 28, 28, 1}, 1, Rng(2));
    const std::vector<Real> plain = values((*net)(x).value());
    auto rule = std::make_unique<quant::WeightRule>(*net, projection("ternary", 2));
    rule->deploy();
    const std::vector<Real> projected = values((*net)(x).value());
    CHECK(projected != plain);
    // The same from a network whose weights are the projections.
    const auto hard = nn::lenet5(nn::relu_activation(), Rng(1));
    hard->eval();
    for (const auto& [name, p] : hard->named_parameters())
      if (name.ends_with("weight")) {
        const Tensor w = quant::weight_projection({"ternary", quant::TernaryOptions{.bits = 2}})->project(p->value);
        p->value = Tensor(w.shape(), values(w));
      }
    const std::vector<Real> expected = values((*hard)(x).value());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(projected[i] == doctest::Approx(expected[i]).epsilon(1e-4));
    rule.reset();
    CHECK(values((*net)(x).value()) == plain);
  }

  TEST_CASE("weight rule: gradients reach the float copies, biases stay float, codes are carried") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    quant::WeightRule rule(*net, projection("binary", 1));
    rule.deploy();
    (*net)(nn::uniform({2, 28, 28, 1}, 1, Rng(2))).backward(Tensor({2, 10}, Real(1)));
    for (const auto& [name, p] : net->named_parameters()) {
      CHECK(p->grad().defined());
      const bool ruled = std::ranges::count(rule.weights(), name, [](const auto& entry) { return entry.name; }) == 1;
      CHECK(p->effective.defined() == ruled);
      if (ruled) CHECK(p->effective.coded()->bits() == 1);
    }
  }

  TEST_CASE("weight rule: a forward pass before the weights were made is refused, in training and in evaluation") {
    nn::Linear layer(3, 2, Rng(1));
    quant::WeightRule rule(layer, projection("binary", 1));
    const auto forward = [&] { return complaint_of([&] { layer(Tensor({1, 3})); }); };
    CHECK_SAYS(forward(), "given a forward pass with weights that were not made");
    layer.eval();
    CHECK_SAYS(forward(), "given a forward pass with weights that were not made");
    rule.deploy();
    CHECK(forward() == "");
  }

  TEST_CASE("weight rule: a second rule over the same weights is refused, and leaves the first one alone") {
    nn::Linear layer(3, 2, Rng(1));
    {
      quant::WeightRule rule(layer, projection("binary", 1));
      const auto second = [&] { quant::WeightRule(layer, projection("ternary", 2)); };
      CHECK_SAYS(complaint_of(second), "given 'weight', which is under another rule already");
      rule.deploy();
      CHECK_SAYS(complaint_of(second), "given 'weight', which is under another rule already");
      CHECK(layer.weight.effective.coded()->bits() == 1);
    }
    quant::WeightRule next(layer, projection("ternary", 2));
    next.deploy();
    CHECK(layer.weight.effective.coded()->bits() == 2);
  }

  TEST_CASE("blend: rho = 0 leaves the float copies alone, another one pulls them") {
    for (const double rho : {0.0, 0.25}) {
      nn::Linear layer(3, 2, Rng(1), false);
      layer.weight.value = Tensor({2, 3}, {1, -3, 2, Real(0.5), -1, Real(1.5)});
      const Tensor kept = layer.weight.value;
      const std::vector<Real> before = values(kept);
      quant::WeightRule rule(layer, projection("binary", 1), blend(rho));
      optim::Sgd still(layer.parameters(), {.lr = 0});
      quant::QuantizedOptimizer optimizer(still, layer, {.weights = &rule}, {1, 1});
      optimizer.zero_grad();
      layer.weight.set_grad(Tensor({2, 3}));
      optimizer.step();
      const std::vector<Real> blended = values(layer.weight.value);
      for (std::size_t i = 0; i < 6; ++i)
        CHECK(blended[i] == doctest::Approx((1 - rho) * before[i] + rho * (before[i] < 0 ? -1.5 : 1.5)));
      CHECK((blended == before) == (rho == 0));
      CHECK(values(kept) == before);
    }
  }

  TEST_CASE("blend: a factor per epoch up to a cap, options out of range are refused") {
    const auto rho = [](const quant::BlendOptions& options, double epoch) {
      const auto r = quant::relaxation({"blend", options});
      r->advance({epoch, 1000});
      return r->strength();
    };
    CHECK(rho({.rho = 1e-5}, 100) == 1e-5);
    CHECK(rho({.rho = 1e-5, .growth = 2}, 3) == doctest::Approx(8e-5));
    CHECK(rho({.rho = 1e-5, .growth = 2}, 3.9) == doctest::Approx(8e-5));
    CHECK(rho({.rho = 1e-5, .growth = 2, .most = 0.01}, 900) == 0.01);
    CHECK(rho({.rho = 0.5, .growth = 1.1}, 1) == doctest::Approx(0.55));
    CHECK_THROWS_AS(quant::relaxation({"blend", quant::BlendOptions{.rho = -0.1}}), Error);
    CHECK_THROWS_AS(quant::relaxation({"blend", quant::BlendOptions{.rho = 1.5}}), Error);
    CHECK_THROWS_AS(quant::relaxation({"blend", quant::BlendOptions{.rho = 0.5, .most = 0.1}}), Error);
    CHECK_THROWS_AS(quant::relaxation({"blend", quant::BlendOptions{.rho = 1e-5, .growth = 0.5}}), Error);
    CHECK_THROWS_AS(quant::relaxation({"blended"}), UsageError);
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
      quant::ProjectionGradient gradient(const Tensor&, const Tensor& g) override {
        Real sum = 0;
        for (const Real v : g.view()) sum += v;
        return {map(g, [](Real v) { return 2 * v; }), {Tensor({}, sum)}};
      }
      Parameter& step = register_parameter("step", Tensor({}, Real(1)));
      Tensor& calls = register_buffer("calls", Tensor({1}));
    };
    // The network computes with the mean of w and its projection; afterwards w is shifted by the rate.
    class Half : public quant::Relaxation {
     public:
      std::string name() const override { return "half"; }
      Tensor effective(quant::WeightProjection& p, const Tensor& w) override {
        return zip(w, p.project(w), [](Real a, Real b) { return (a + b) / 2; });
      }
      void after_step(quant::WeightProjection&, double rate, Tensor& w) override {
        w = map(w, [rate](Real v) { return v + static_cast<Real>(rate); });
      }
    };
    nn::Linear layer(3, 2, Rng(1), false);
    layer.weight.value = Tensor({2, 3}, {1, -3, 2, 4, -1, 8});
    quant::WeightRule rule(
        layer, [](const quant::LayerPlace&) { return std::make_unique<Rounded>(); }, std::make_unique<Half>());
    REQUIRE(rule.parameters().size() == 1);
    Parameter& step = *rule.parameters()[0];
    CHECK(step.value.item() == 6);
    std::vector<Parameter*> parameters = layer.parameters();
    parameters.push_back(&step);
    step.rate_factor = 0;
    optim::Sgd sgd(parameters, {.lr = 0.5});
    quant::QuantizedOptimizer optimizer(sgd, layer, {.weights = &rule}, {1, 1});
    optimizer.zero_grad();
    CHECK(values(layer.weight.effective) == std::vector<Real>{0.5, -4.5, 1, 5, -0.5, 7});
    layer(Tensor({1, 3}, {1, 2, 3})).backward(Tensor({1, 2}, {1, 10}));
    optimizer.collect_gradients();
    CHECK(values(layer.weight.grad()) == std::vector<Real>{2, 4, 6, 20, 40, 60});
    CHECK(step.grad().item() == 66);
    layer.weight.set_grad(Tensor({2, 3}));  // so that the relaxation alone moves it
    optimizer.step();
    CHECK(values(layer.weight.value) == std::vector<Real>{1.5, -2.5, 2.5, 4.5, -0.5, 8.5});
    rule.deploy();
    CHECK(values(layer.weight.effective) == std::vector<Real>{0, 0, 0, 6, 0, 6});

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
    layer.weight.value = Tensor({2, 3}, {1, -3, 2, 4, -1, 8});
    const std::vector<Real> relaxed = values(rule.relaxed().at(0));
    CHECK(relaxed == std::vector<Real>{0.5, -4.5, 1, 5, -0.5, 7});
    CHECK(rule.state_dict()[1].second[0] == 2);  // what it is asked for is not remembered
  }

  TEST_CASE("projection as an op: its value and its gradient") {
    const auto binary = quant::weight_projection({"binary"});
    const Var w = Var::leaf(Tensor({3}, {1, -2, 3}));
    const Var q = (*binary)(w);
    CHECK(values(q.value()) == std::vector<Real>{2, -2, 2});
    q.backward(Tensor({3}, {5, 6, 7}));
    CHECK(values(w.grad()) == std::vector<Real>{5, 6, 7});
    CHECK_THROWS_AS(binary->gradient(w.value(), Tensor({2})), Error);
    // What a projection trains has its gradient from the same pass, which adds up as all of them do.
    const auto lsq = quant::weight_projection({"lsq", quant::LearnedStepWeightOptions{.bits = 2}});
    lsq->begin(w.value());
    const Tensor seed({3}, {5, 6, 7});
    const quant::ProjectionGradient once = lsq->gradient(w.value(), seed);
    for (int pass = 0; pass < 2; ++pass) (*lsq)(w).backward(seed);
    REQUIRE(once.parameters.size() == 1);
    CHECK(lsq->parameters()[0]->grad().item() == 2 * once.parameters[0].item());
  }

  TEST_CASE("training quantized weights and activations: the same bits for 1 and 2 threads, a falling loss" *
            doctest::test_suite("quant long")) {
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

  TEST_CASE("training quantized weights takes no memory from the system once it is warm" *
            doctest::test_suite("quant long")) {
    for (const auto& [name, bits] : {std::pair{"binary", 1}, {"ternary", 2}, {"exact", 4}}) {
      Training training(name, bits);
      for (int step = 0; step < 4; ++step) training.step();
      const auto misses = pool_stats().misses;
      for (int step = 0; step < 4; ++step) training.step();
      CHECK(pool_stats().misses == misses);
    }
  }
}
