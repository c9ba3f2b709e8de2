// The mix of activations as a module: codes, NaN, normalisations in front, graphs, threads, and where it stands. Its
// numbers are checked in tests/quant/paper_aqe_test.cpp.
#include "quant/activations/mix.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/ops.h"
#include "nn/graph.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "optim/sgd.h"
#include "quant/evaluation_scope.h"
#include "quant/quantized_optimizer.h"
#include "quant/summary.h"
#include "quant/weights/power_coded.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::MixActivation, quant::MixFactor;

namespace {

constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN(), kInf = std::numeric_limits<Real>::infinity();

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

quant::MixActivationOptions constant(int bits, double share, MixFactor factor = MixFactor::paper) {
  return {.bits = bits, .mix = {.first = share, .last = share, .factor = factor}};
}

/// Output and the gradient of the input for ones behind it.
std::vector<Real> pass(nn::Module& act, const Tensor& x) {
  const Var leaf = Var::leaf(x), y = act(leaf);
  y.backward(Tensor(x.shape(), Real(1)));
  std::vector<Real> all = values(y.value());
  for (const Real g : leaf.grad().view()) all.push_back(g);
  return all;
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE(
      "mix activation: on levels it has signed codes, in evaluation and where the share is 1, between them none") {
    const Tensor x = nn::uniform({30, 10}, 1.5, Rng(1));
    for (const int bits : {1, 2, 3}) {
      MixActivation act(constant(bits, 0.5)), hard(constant(bits, 1));
      CHECK(act.bits() == bits);
      CHECK(act(x).value().coded() == nullptr);
      act.eval();
      for (MixActivation* on_levels : {&act, &hard}) {
        const Tensor y = (*on_levels)(x).value();
        REQUIRE(y.coded());
        CHECK(y.coded()->is_signed());
        REQUIRE(quant::power_codes(y));
        CHECK(y.source()->bits() == bits);
        const LevelSet set = level_set(bits);
        std::vector<std::int8_t> codes(static_cast<std::size_t>(x.numel()));
        set.encode(x.view(), codes.data());
        CHECK(std::ranges::equal(quant::power_codes(y)->codes, codes));
        for (std::int64_t i = 0; i < x.numel(); ++i)
          CHECK(y[i] == static_cast<Real>(set.level(codes[static_cast<std::size_t>(i)])));
      }
    }
  }

  TEST_CASE("mix activation: NaN stays where it is and gets no gradient, infinities are the ends") {
    const Tensor x({5}, {kNan, kInf, -kInf, Real(0.5), Real(-0.5)});
    for (const int bits : {1, 2, 3})
      for (const double share : {0.0, 0.5, 1.0})
        for (const bool training : {true, false}) {
          MixActivation act(constant(bits, share, MixFactor::one));
          act.train(training);
          const Var leaf = Var::leaf(x), y = act(leaf);
          y.backward(Tensor({5}, Real(1)));
          CHECK(std::isnan(y.value()[0]));
          CHECK(y.value()[1] == 1);
          CHECK(y.value()[2] == -1);
          CHECK(std::abs(y.value()[3]) <= 1);
          CHECK(values(leaf.grad()) == std::vector<Real>{0, 0, 0, 1, 1});
        }
    MixActivation act(constant(2, 0.5));
    CHECK(act(Tensor({0, 4})).shape() == Shape{0, 4});
    act.eval();
    CHECK(act(Tensor({0, 4})).shape() == Shape{0, 4});
  }

  TEST_CASE("mix activation: behind a normalisation it computes what it computes of its values") {
    const Tensor images = nn::normal({40, 30, 30, 10}, 2, Rng(2));
    for (const double share : {0.5, 1.0}) {
      const auto numbers = [&](bool apart) {
        nn::BatchNorm norm(10);
        MixActivation act(constant(3, share));
        const Var x = Var::leaf(images);
        const Var z = norm(x);
        if (apart) z.value().data();
        const Var y = act(z);
        y.backward(nn::normal(images.shape(), 1, Rng(3)));
        std::vector<Real> all = values(y.value());
        for (const Tensor& g : {x.grad(), norm.scale->grad(), norm.shift->grad()})
          for (const Real v : g.view()) all.push_back(v);
        return all;
      };
      CHECK(same_bits(numbers(false), numbers(true)));
    }
  }

  TEST_CASE("mix activation: the same bits for 1 and 2 threads and on every table") {
    const Tensor x = nn::uniform({9, 11, 1003}, 1.5, Rng(4));
    for (const double share : {0.7, 1.0}) {
      MixActivation act(constant(3, share));
      const std::vector<Real> once = pass(act, x);
      with_each_table([&] {
        CHECK(same_with_two_threads([&] { return pass(act, x); }));
        CHECK(same_bits(pass(act, x), once));
      });
    }
  }

  TEST_CASE("mix activation: a graph has one op with bits, levels and thresholds, and a summary its bits") {
    nn::Sequential net;
    net.add<nn::Linear>("fc1", 4, 4, Rng(1));
    net.add<MixActivation>("act", constant(3, 0.5));
    net.add<nn::Linear>("fc2", 4, 2, Rng(2));
    const nn::Graph graph = nn::trace(net, {{2, 4}});
    int found = 0;
    for (const nn::Graph::Node& node : graph.nodes) {
      if (node.module != "act") continue;
      ++found;
      CHECK(node.op == "mix_activation");
      CHECK(*find_attribute<std::int64_t>(node.attributes, "bits") == 3);
      CHECK(values(*find_attribute<Tensor>(node.attributes, "levels")) ==
            std::vector<Real>{-1, Real(-0.5), Real(-0.25), 0, Real(0.25), Real(0.5), 1});
      CHECK(values(*find_attribute<Tensor>(node.attributes, "thresholds")) ==
            std::vector<Real>{Real(0.125), Real(0.375), Real(0.75)});
    }
    CHECK(found == 1);
    CHECK(quant::summarize(net, graph).layers.at(1).output_bits == 3);
  }

  TEST_CASE("mix activation: where it stands follows the training, a break in it included") {
    nn::Sequential net;
    net.add<nn::Linear>("fc", 3, 4, Rng(1));
    auto& act = net.add<MixActivation>("act", quant::MixActivationOptions{.bits = 2});
    optim::Sgd sgd(net.parameters(), {.lr = 0.1});
    quant::QuantizedOptimizer optimizer(sgd, net, {}, {2, 2});
    std::vector<double> shares;
    State state;
    for (int step = 0; step < 4; ++step) {
      optimizer.zero_grad();
      shares.push_back(act.share());
      sum(net(Tensor({2, 3}, Real(0.3)))).backward();
      optimizer.step();
      if (step == 1) state = optimizer.state();
    }
    CHECK(shares == std::vector<double>{0.5, 0.625, 0.75, 0.875});
    optimizer.load_state(state);
    CHECK(act.share() == 0.625);
    optimizer.zero_grad();
    CHECK(act.share() == 0.75);
    const quant::EvaluationScope scope(net);
    const Tensor y = net(nn::normal({200, 3}, 2, Rng(5))).value();
    CHECK(std::set<Real>(y.view().begin(), y.view().end()) == std::set<Real>{-1, 0, 1});
  }

  TEST_CASE("mix activation: options out of range are refused") {
    CHECK_THROWS_AS(MixActivation({.bits = 4}), UsageError);
    CHECK_THROWS_AS(MixActivation({.bits = 3, .thresholds = {.one_above = 0.2}}), UsageError);
    CHECK_SAYS(complaint_of([] { MixActivation({.mix = {.first = 0.75, .last = 0.5}}); }),
               "mix: given shares from 0.75 to 0.5 until 1 of the training");
    CHECK_THROWS_AS(quant::activations().part("mix").with("factor", "two"), UsageError);
  }
}
