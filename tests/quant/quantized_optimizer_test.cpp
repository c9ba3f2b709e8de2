// One step of a training with quantized weights, gradients and scheduled activations, and evaluations on the way: the
// formulas written out, and what is refused where a call is missing.
#include "quant/quantized_optimizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/check.h"
#include "core/map.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/adam.h"
#include "optim/bop.h"
#include "optim/clip.h"
#include "optim/joint.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/trained.h"
#include "quant/evaluation_scope.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/weights/binary_relax.h"
#include "quant/weights/projection.h"
#include "quant/weights/prox_quant.h"
#include "quant/weights/relaxation.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using quant::EvaluationScope, quant::QuantizedOptimizer, quant::WeightRule;

namespace {

using Values = std::vector<Real>;
Values values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }
Values values(const nn::StateDict& state) {
  Values all;
  for (const auto& [name, value] : state) std::ranges::copy(value.view(), std::back_inserter(all));
  return all;
}

Var loss_of(nn::Module& net) {
  return cross_entropy(net(nn::uniform({8, 28, 28, 1}, 1, Rng(2))),
                       Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7}));
}

std::vector<Parameter*> trained(nn::Module& net, WeightRule& rule) {
  std::vector<Parameter*> all = net.parameters();
  std::ranges::copy(rule.parameters(), std::back_inserter(all));
  return all;
}

quant::WeightRule rule_over(nn::Module& net, const char* projection, int bits, const Part& relaxation = {"none"}) {
  return {net, quant::weight_projections().part(projection).with("bits", bits), relaxation};
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("quantized optimizer: without rules it is the optimizer inside, bit for bit") {
    const auto train = [](bool around) {
      const auto net =
          nn::lenet5(quant::make_activation({"trained", quant::TrainedActivationOptions{.bits = 2}}), Rng(1));
      optim::Adam adam(net->parameters(), {.lr = 0.01});
      QuantizedOptimizer quantized(adam, *net, {}, {3, 1});
      optim::Optimizer& optimizer = around ? static_cast<optim::Optimizer&>(quantized) : adam;
      for (int step = 0; step < 3; ++step) {
        optimizer.lr = 0.01 / (1 + step);
        optimizer.zero_grad();
        loss_of(*net).backward();
        optimizer.step();
      }
      CHECK(quantized.steps_taken() == (around ? 3 : 0));
      CHECK(adam.lr == 0.01 / 3);
      return values(net->state_dict());
    };
    CHECK(train(true) == train(false));
  }

  TEST_CASE("quantized optimizer: weight decay, momentum, blending and clamping act as the formulas say") {
    // Blend: w <- (1 - rho) w + rho x - eta (g + decay w'), with g at x and w' the blended w.
    nn::Linear layer(3, 1, Rng(1), false);
    layer.weight.value = Tensor({1, 3}, {1, -3, 2});
    WeightRule rule = rule_over(layer, "binary", 1, {"blend", quant::BlendOptions{.rho = 0.25}});
    optim::Sgd sgd(layer.parameters(), {.lr = 0.5, .weight_decay = 0.125});
    QuantizedOptimizer optimizer(sgd, layer, {.weights = &rule}, {1, 1});
    optimizer.zero_grad();
    CHECK(values(layer.weight.effective) == Values{2, -2, 2});
    layer(Tensor({1, 3}, {1, 2, 3})).backward(Tensor({1, 1}, Real(1)));
    optimizer.step();
    const double blended[] = {1.25, -2.75, 2}, g[] = {1, 2, 3};
    for (int i = 0; i < 3; ++i)
      CHECK(layer.weight.value[i] == doctest::Approx(blended[i] - 0.5 * (g[i] + 0.125 * blended[i])));
    // ProxQuant: w <- prox(w - eta g) after the step, at the rate that the step had.
    nn::Linear other(3, 1, Rng(1), false);
    other.weight.value = Tensor({1, 3}, {1, -3, 2});
    WeightRule prox = rule_over(other, "sign", 1, {"prox", quant::ProxQuantOptions{.rate = 1, .hard_from = 1}});
    optim::Sgd still(other.parameters(), {.lr = 0.1});
    QuantizedOptimizer proximal(still, other, {.weights = &prox}, {1, 4});
    for (int epoch = 0; epoch < 2; ++epoch) {  // lambda is 0 in the first one, 1 in the second
      proximal.lr = 0.5;
      proximal.zero_grad();
      other.weight.set_grad(Tensor({1, 3}));
      proximal.step();
    }
    CHECK(values(other.weight.value) == Values{1, Real(-2.5), Real(1.5)});
  }

  TEST_CASE("quantized optimizer: no call of a step can be left out") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    WeightRule rule = rule_over(*net, "lsq", 2, {"clip"});
    optim::Sgd sgd(trained(*net, rule), {.lr = 0.02});
    QuantizedOptimizer optimizer(sgd, *net, {.weights = &rule}, {10, 1});
    const auto says = [](auto&& call) { return complaint_of(call); };
    const auto forward = [&] { loss_of(*net); };
    const auto step = [&] { optimizer.step(); };
    const char *no_weights = "given a forward pass with weights that were not made",
               *no_zero_grad = "given a step without zero_grad() since the one before",
               *no_backward = "given a first step without gradients, expected backward() before step()";
    const Values start = values(net->state_dict());
    CHECK_SAYS(says(forward), no_weights);
    CHECK_SAYS(says(step), no_zero_grad);
    optimizer.zero_grad();
    CHECK_SAYS(says(step), no_backward);
    CHECK(values(net->state_dict()) == start);
    loss_of(*net).backward();
    step();
    CHECK(values(net->state_dict()) != start);
    CHECK_SAYS(says(forward), no_weights);  // the weights of the step before are gone
    CHECK_SAYS(says(step), no_zero_grad);
    optimizer.zero_grad();
    rule.deploy();  // what the step would see are other weights then
    CHECK_SAYS(says(step), no_zero_grad);
    optimizer.zero_grad();
    loss_of(*net).backward();
    optimizer.lr = -1;
    const Values before = values(net->state_dict());
    CHECK_SAYS(says(step), "learning rate of -1");
    CHECK(values(net->state_dict()) == before);
    optimizer.lr = 0.02;
    CHECK(says(step) == "");
    CHECK(optimizer.steps_taken() == 2);
  }

  TEST_CASE("quantized optimizer: an optimizer that lacks what is trained is refused") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    WeightRule rule = rule_over(*net, "lsq", 2);
    const auto with = [&](const std::vector<Parameter*>& parameters) {
      optim::Sgd sgd(parameters, {});
      return complaint_of([&] { QuantizedOptimizer(sgd, *net, {.weights = &rule}, {1, 1}); });
    };
    CHECK(with(trained(*net, rule)) == "");
    CHECK_SAYS(with(net->parameters()), "given an optimizer that lacks conv1.weight.step, expected one over");
    CHECK_SAYS(with(rule.parameters()), "given an optimizer that lacks conv1.weight, expected one over");
    optim::Sgd sgd(trained(*net, rule), {});
    CHECK_SAYS(complaint_of([&] { QuantizedOptimizer(sgd, *net, {}, {0, 1}); }), "given 1 epochs of 0 steps");
    CHECK_SAYS(complaint_of([&] { QuantizedOptimizer(sgd, *net, {}, {1, 0}); }), "given 0 epochs of 1 steps");
  }

  TEST_CASE("quantized optimizer: collected gradients are those of the float copies, and may be clipped") {
    nn::Linear layer(3, 2, Rng(1), false);
    const auto make = [&](auto&& use) {
      WeightRule rule = rule_over(layer, "lsq", 2);
      optim::Sgd sgd(trained(layer, rule), {.lr = 0.1});
      QuantizedOptimizer optimizer(sgd, layer, {.weights = &rule}, {1, 1});
      optimizer.zero_grad();
      layer(Tensor({1, 3}, {1, 2, 3})).backward(Tensor({1, 2}, {10, 20}));
      use(optimizer, rule);
    };
    layer.weight.value = Tensor({2, 3}, {1, -3, 2, Real(0.5), -1, Real(1.5)});
    make([&](QuantizedOptimizer& optimizer, WeightRule& rule) {
      Parameter& step = *rule.parameters().at(0);
      const Tensor at_used = layer.weight.grad();
      const quant::ProjectionGradient expected = rule.weights()[0].projection->gradient(layer.weight.value, at_used);
      CHECK(!step.grad().defined());
      optimizer.collect_gradients();
      optimizer.collect_gradients();  // a second time it does nothing
      CHECK(values(layer.weight.grad()) == values(expected.weight));
      CHECK(step.grad().item() == expected.parameters.at(0).item());
      CHECK(optim::clip_grad_norm(optimizer.parameters(), 0.5) > 0.5);
      const Values w = values(layer.weight.value), g = values(layer.weight.grad());
      optimizer.step();
      for (std::size_t i = 0; i < w.size(); ++i)
        CHECK(layer.weight.value.view()[i] == doctest::Approx(w[i] - Real(0.1) * g[i]));
      CHECK(values(layer.weight.grad()) == g);  // zero_grad() clears them, step() does not
    });
  }

  TEST_CASE("quantized optimizer: scheduled activations and relaxations stand where the training stands") {
    struct Sharp : public nn::Module {
      Var forward(const Var& x) override { return x; }
      void advance(const nn::Progress& at) override { seen.push_back(at.epoch / at.epochs); }
      std::vector<double> seen;
    };
    nn::Sequential net;
    auto& sharp = net.add<Sharp>("sharp");
    net.add<nn::Linear>("fc", 3, 2, Rng(1));
    WeightRule rule =
        rule_over(net, "binary", 1, {"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 2, .hard_from = 0.75}});
    optim::Sgd sgd(net.parameters(), {.lr = 0.1});
    QuantizedOptimizer optimizer(sgd, net, {.weights = &rule}, {2, 2});
    std::vector<double> lambda;
    for (int step = 0; step < 5; ++step) {
      optimizer.zero_grad();
      lambda.push_back(rule.relaxation().strength());
      net(Tensor({1, 3}, Real(1))).backward(Tensor({1, 2}, {1, -1}));
      optimizer.step();
    }
    CHECK(sharp.seen == std::vector<double>{0, 0.25, 0.5, 0.75, 1});
    CHECK(lambda == std::vector<double>{2, 2, 4, HUGE_VAL, HUGE_VAL});
  }

  TEST_CASE("quantized optimizer: gradients are quantized with the draws of the step") {
    const auto gradients = [](bool by_hand) {
      const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
      quant::GradientRule rule(*net, quant::gradient_rules().make({"psq", quant::BifurcatedGradientOptions{.bits = 4}}),
                               Rng(3));
      optim::Sgd sgd(net->parameters(), {.lr = 0});
      QuantizedOptimizer optimizer(sgd, *net, {.gradients = &rule}, {10, 1});
      Values all;
      for (int step = 0; step < 3; ++step) {
        if (by_hand) {
          sgd.zero_grad();
          rule.set_step(step);
        } else {
          optimizer.zero_grad();
        }
        loss_of(*net).backward();
        for (Parameter* p : net->parameters()) std::ranges::copy(p->grad().view(), std::back_inserter(all));
        if (!by_hand) optimizer.step();
      }
      return all;
    };
    CHECK(gradients(false) == gradients(true));
  }

  TEST_CASE("quantized optimizer: Bop flips binary weights and Adam moves the rest, as one optimizer") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    WeightRule rule = rule_over(*net, "sign", 1);
    std::vector<Parameter*> binary, others = net->parameters();
    for (const auto& entry : rule.weights()) {
      entry.weight->value = entry.projection->project(entry.weight->value);
      binary.push_back(entry.weight);
      std::erase(others, entry.weight);
    }
    std::vector<std::unique_ptr<optim::Optimizer>> rules;
    rules.push_back(std::make_unique<optim::Bop>(binary, optim::BopOptions{.lr = 0.01, .threshold = 1e-6}));
    rules.push_back(std::make_unique<optim::Adam>(others, optim::AdamOptions{.lr = 0.01}));
    optim::Joint joint(std::move(rules));
    QuantizedOptimizer optimizer(joint, *net, {.weights = &rule}, {20, 1});
    const Values start = values(binary.front()->value);
    std::vector<Real> losses;
    for (int step = 0; step < 20; ++step) {
      optimizer.zero_grad();
      const Var loss = loss_of(*net);
      losses.push_back(loss.item());
      loss.backward();
      optimizer.step();
    }
    CHECK(losses.back() < losses.front() / 2);
    CHECK(values(binary.front()->value) != start);
    for (const Real w : binary.front()->value.view()) CHECK(std::abs(w) == 1);
  }

  TEST_CASE("quantized optimizer: from its state and those of rule and network a training goes on bit for bit" *
            doctest::test_suite("quant long")) {
    struct Run {
      std::unique_ptr<nn::Module> net =
          nn::lenet5(quant::make_activation({"trained", quant::TrainedActivationOptions{.bits = 4}}), Rng(1));
      WeightRule rule = rule_over(*net, "warm_lloyd", 3,
                                  {"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 1.5, .hard_from = 1}});
      optim::Sgd sgd{net->parameters(), {.lr = 0.02, .momentum = 0.9}};
      QuantizedOptimizer optimizer{sgd, *net, {.weights = &rule}, {2, 3}};

      void steps(int count) {
        for (int i = 0; i < count; ++i) {
          optimizer.zero_grad();
          loss_of(*net).backward();
          optimizer.step();
        }
      }
      Values all() { return values(net->state_dict()); }
    };
    Run whole;
    whole.steps(6);
    for (int stop = 1; stop < 6; ++stop) {
      Run begun, resumed, forgetful;
      begun.steps(stop);
      for (Run* run : {&resumed, &forgetful}) {
        run->net->load_state(begun.net->state());
        if (run == &resumed) run->rule.load_state(begun.rule.state());
        run->optimizer.load_state(begun.optimizer.state());
        CHECK(run->rule.relaxation().strength() == begun.rule.relaxation().strength());
        run->steps(6 - stop);
      }
      CHECK(resumed.all() == whole.all());
      CHECK(forgetful.all() != whole.all());  // the scale that the projection remembers
      CHECK(resumed.optimizer.steps_taken() == 6);
    }
    State wrong = whole.optimizer.state();
    wrong.counts.erase("schedule.step");
    CHECK_SAYS(complaint_of([&] { whole.optimizer.load_state(wrong); }), "'schedule.step' is missing");
    wrong = whole.optimizer.state();
    wrong.tensors.pop_back();
    CHECK_SAYS(complaint_of([&] { whole.optimizer.load_state(wrong); }), "is missing");
    CHECK(whole.optimizer.steps_taken() == 6);
  }

  TEST_CASE("evaluation scope: anywhere in a training it deploys, and leaves no trace in what comes after" *
            doctest::test_suite("quant long")) {
    const auto train = [](bool judged) {
      const auto net =
          nn::lenet5(quant::make_activation({"trained", quant::TrainedActivationOptions{.bits = 4}}), Rng(1));
      WeightRule rule = rule_over(*net, "warm_lloyd", 3,
                                  {"relax", quant::BinaryRelaxOptions{.lambda = 0.5, .growth = 1, .hard_from = 1}});
      optim::Sgd sgd(net->parameters(), {.lr = 0.02, .momentum = 0.9});
      QuantizedOptimizer optimizer(sgd, *net, {.weights = &rule}, {2, 2});
      const auto judge = [&] {
        if (!judged) return;
        const EvaluationScope scope(*net, &rule);
        CHECK_FALSE(net->training());
        for (const auto& entry : rule.weights()) CHECK(entry.weight->effective.coded()->bits() == 3);
        loss_of(*net);
      };
      for (int step = 0; step < 4; ++step) {
        judge();
        optimizer.zero_grad();
        judge();
        const Var loss = loss_of(*net);
        judge();
        loss.backward();
        judge();
        optimizer.step();
      }
      CHECK(net->training());
      return values(net->state_dict());
    };
    CHECK(train(true) == train(false));
  }

  TEST_CASE("evaluation scope: modes of single modules come back, and without a rule weights stay as they are") {
    const auto net = nn::vgg11(nn::relu_activation(), Rng(1), {.width = 4});
    nn::Module* frozen = nullptr;
    for (const auto& [name, module] : net->named_modules())
      if (name == "norm1") frozen = module;
    REQUIRE(frozen);
    frozen->eval();
    {
      const EvaluationScope scope(*net);
      for (const auto& [name, module] : net->named_modules()) CHECK_FALSE(module->training());
      for (const Parameter* p : net->parameters()) CHECK_FALSE(p->effective.defined());
    }
    for (const auto& [name, module] : net->named_modules()) CHECK(module->training() == (module != frozen));
  }

  TEST_CASE("evaluation scope: a network under a rule cannot be judged without it") {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
    WeightRule rule = rule_over(*net, "binary", 1);
    const EvaluationScope scope(*net);
    CHECK_SAYS(complaint_of([&] { loss_of(*net); }), "given a forward pass with weights that were not made");
  }
}
