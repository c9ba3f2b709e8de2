// Training with quantized gradients: which layers, which product, and that it goes on bit for bit.
#include "quant/gradients/gradient_rule.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/ops.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using coarsegrad::testing::same_with_two_threads;
using quant::GradientRule;

namespace {

using Values = std::vector<Real>;
Values values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

quant::GradientRuleOptions bifurcated(const char* name, int bits) {
  return quant::gradient_rules().make({name, quant::BifurcatedGradientOptions{.bits = bits}});
}
quant::GradientRuleOptions dorefa(int bits) {
  return quant::gradient_rules().make({"dorefa", quant::DorefaGradientOptions{.bits = bits}});
}
const quant::LayerExceptions kInner({"first: gradients=float", "last: gradients=float"});

// A narrow ResNet-8 and a batch for it.
struct Problem {
  std::unique_ptr<nn::Module> net;
  Tensor images = Tensor::uninitialized({6, 32, 32, 3});
  Tensor labels = Tensor::of<std::int32_t>({6}, {0, 1, 2, 3, 4, 5});

  Problem() : net(nn::resnet(8, nn::relu_activation(), Rng(1), {.width = 4})) {
    Rng(2).normal(images.mutable_data(), static_cast<std::size_t>(images.numel()));
  }
  void backward() {
    for (Parameter* p : net->parameters()) p->zero_grad();
    cross_entropy((*net)(images), labels).backward();
  }
  Values gradient(const std::string& name) {
    for (const auto& [n, p] : net->named_parameters())
      if (n == name) return values(p->grad());
    FAIL("no parameter ", name);
    return {};
  }
  Values all_gradients() {
    Values all;
    for (Parameter* p : net->parameters()) all.insert(all.end(), p->grad().view().begin(), p->grad().view().end());
    return all;
  }
};

const char* const kTop = "fc.weight";
const char* const kBelow = "stages.stage3_block1.conv2.weight";

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("gradient rule: DoReFa spares the first and the last layer, StatQuant none; the end restores all") {
    Problem p;
    p.backward();
    const Values plain = p.all_gradients();
    {
      const GradientRule rule(*p.net, bifurcated("bhq", 4), Rng(3));
      CHECK(rule.layers().size() == 8);
      CHECK(rule.layers().front() == "conv");
      CHECK(rule.layers().back() == "fc");
      p.backward();
      CHECK(p.all_gradients() != plain);
      CHECK_SAYS(complaint_of([&] { GradientRule(*p.net, dorefa(4), Rng(3), kInner); }), "has a gradient map");
    }
    {
      const GradientRule rule(*p.net, dorefa(4), Rng(3), kInner);
      CHECK(rule.layers().size() == 6);
      CHECK(rule.layers().front() == "stages.stage1_block1.conv1");
      CHECK(rule.layers().back() == "stages.stage3_block1.conv2");
    }
    p.backward();
    CHECK(p.all_gradients() == plain);
    CHECK_THROWS_AS(GradientRule(*p.net, {}, Rng(3)), Error);
  }

  TEST_CASE("gradient rule: a history may outlive it") {
    Problem p;
    Var loss;
    {
      const GradientRule rule(*p.net, bifurcated("psq", 4), Rng(3));
      loss = cross_entropy((*p.net)(p.images), p.labels);
    }
    loss.backward();
    CHECK(std::isfinite(p.gradient(kTop)[0]));
  }

  TEST_CASE("gradient rule: draws follow from stream, layer and step, and differ from call to call") {
    Problem p;
    GradientRule rule(*p.net, bifurcated("psq", 4), Rng(3));
    const auto at = [&](std::int64_t step) {
      rule.set_step(step);
      p.backward();
      return p.all_gradients();
    };
    const Values first = at(5), other = at(6);
    p.backward();
    const Values again = p.all_gradients();  // a second pass within step 6
    CHECK(first == at(5));
    CHECK(first != other);
    CHECK(other != again);
    CHECK(same_with_two_threads([&] { return at(7); }));
  }

  TEST_CASE("gradient rule: from its state another one draws what it would have drawn next, within a step, too") {
    Problem p;
    State state;
    Values next;
    {
      GradientRule rule(*p.net, bifurcated("psq", 4), Rng(3));
      rule.set_step(5);
      p.backward();
      state = rule.state();
      p.backward();
      next = p.all_gradients();
    }
    GradientRule rule(*p.net, bifurcated("psq", 4), Rng(3));
    CHECK(state.count("step") == 5);
    CHECK(state.counts_of("calls.fc") == std::vector<std::uint64_t>{1, 1});
    rule.load_state(state);
    p.backward();
    CHECK(p.all_gradients() == next);
    rule.set_step(5);
    p.backward();
    CHECK(p.all_gradients() != next);  // the first pass of the step
    State wrong = state;
    wrong.counts.erase("calls.fc");
    CHECK_SAYS(complaint_of([&] { rule.load_state(wrong); }), "calls.fc");
    wrong = state;
    wrong.counts["calls.fc"] = {1};
    CHECK_SAYS(complaint_of([&] { rule.load_state(wrong); }), "given 1 numbers of calls for fc, expected 2");
  }

  TEST_CASE("gradient rule: a training that was broken off goes on with the same bits") {
    const auto train = [](Problem& p, optim::Sgd& sgd, std::int64_t from, std::int64_t to) {
      GradientRule rule(*p.net, bifurcated("bhq", 5), Rng(8));
      for (std::int64_t step = from; step < to; ++step) {
        rule.set_step(step);
        p.backward();
        sgd.step();
      }
      Values all;
      for (const auto& [name, value] : p.net->state_dict())
        all.insert(all.end(), value.view().begin(), value.view().end());
      return all;
    };
    Problem whole, begun, resumed;
    optim::Sgd sgd(whole.net->parameters(), {.lr = 0.05}), sgd_begun(begun.net->parameters(), {.lr = 0.05}),
        sgd_resumed(resumed.net->parameters(), {.lr = 0.05});
    const Values end = train(whole, sgd, 0, 6);
    train(begun, sgd_begun, 0, 3);
    resumed.net->load_state_dict(begun.net->state_dict());
    const Values resumed_end = train(resumed, sgd_resumed, 3, 6);
    CHECK(resumed_end == end);
    CHECK(train(begun, sgd_begun, 4, 7) != end);  // the wrong steps
  }
}

TEST_SUITE("paper-statquant") {
  TEST_CASE("paper-statquant 8.10: bits of the activation gradient leave the top layer's weight gradient at 8") {
    Problem p;
    const auto gradients = [&](int bits) {
      const GradientRule rule(*p.net, bifurcated("psq", bits), Rng(3));
      p.backward();
      return std::pair(p.gradient(kTop), p.gradient(kBelow));
    };
    const auto [top4, below4] = gradients(4);
    const auto [top8, below8] = gradients(8);
    CHECK(top4 == top8);
    CHECK(below4 != below8);
    p.backward();
    CHECK(p.gradient(kTop) != top8);  // it is quantized
    const GradientRule shared(*p.net, {.input = quant::gradient_quantizer("psq", {.bits = 4}), .weight = nullptr},
                              Rng(3));
    p.backward();
    CHECK(p.gradient(kTop) != top4);  // without the bifurcation 4 bits reach it
  }
}
