// Every shipped activation behind a normalisation: in one pass it has the bits of ops one after another, and its
// kernels are those that its surrogate declares.
#include <doctest/doctest.h>

#include <functional>
#include <memory>

#include "core/ops.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "quant/activations/dorefa.h"
#include "quant/activations/learned_step.h"
#include "quant/activations/minmax.h"
#include "quant/activations/pact.h"
#include "quant/activations/sign.h"
#include "quant/activations/trained.h"
#include "quant/activations/uniform.h"

using namespace coarsegrad;

namespace {

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

// The same as an op of its own that keeps its elements in memory: nothing is one pass across it.
Var in_memory(const Var& x) {
  return record("in_memory", Tensor(x.shape(), values(x.value())), {x},
                [](const Tensor& g) -> Gradients { return {Tensor(g.shape(), values(g))}; });
}

struct Case {
  bool in_one_pass, training, with_shortcut;
  std::int64_t channels;
};

// Everything that a normalisation, a shortcut and an activation give, and the gradients of all of it.
std::vector<std::vector<Real>> everything(nn::Activation& act, const Case& c) {
  const std::int64_t n = c.channels;
  nn::BatchNorm norm(n);
  norm.scale->value = nn::uniform({n}, 2, Rng(21));
  norm.shift->value = nn::uniform({n}, 2, Rng(22));
  norm.running_mean = nn::uniform({n}, 1, Rng(26));
  norm.train(c.training);
  act.train(c.training);
  const Shape shape{3, 5, 5, n};
  const Var x = Var::leaf(nn::uniform(shape, 3, Rng(23))), shortcut = Var::leaf(nn::uniform(shape, 1, Rng(24)));
  const auto stop = [&c](const Var& v) { return c.in_one_pass ? v : in_memory(v); };
  const Var t = stop(norm(x));
  const Var y = act(c.with_shortcut ? stop(t + shortcut) : t);
  y.backward(nn::uniform(shape, 1, Rng(25)));
  std::vector<std::vector<Real>> all{values(y.value()), values(x.grad()), values(norm.scale->grad()),
                                     values(norm.shift->grad()), values(norm.running_var)};
  if (c.with_shortcut) all.push_back(values(shortcut.grad()));
  for (const Parameter* p : act.parameters()) {
    all.push_back(values(p->value));
    if (p->grad().defined()) all.push_back(values(p->grad()));
  }
  return all;
}

using MakeOne = std::function<std::unique_ptr<nn::Activation>()>;

struct Named {
  std::string name;
  MakeOne make;
};

std::vector<Named> shipped() {
  std::vector<Named> all{{"relu", [] { return std::make_unique<nn::ReLU>(); }}};
  for (const Surrogate* s : all_surrogates()) {
    all.push_back({"uniform " + s->name(), [s] { return std::make_unique<quant::UniformActivation>(2, 0.4, *s); }});
    all.push_back({"sign " + s->name(), [s] { return std::make_unique<quant::SignActivation>(*s); }});
  }
  for (const AlphaRule rule : {AlphaRule::exact, AlphaRule::three_valued, AlphaRule::pact})
    for (const bool clamped : {false, true})
      all.push_back({"trained", [rule, clamped] {
                       return std::make_unique<quant::TrainedActivation>(quant::TrainedActivationOptions{
                           .bits = 4, .rule = rule, .alpha = 0.1, .clamp_gradient = clamped});
                     }});
  all.push_back({"trained that records", [] {
                   auto act = std::make_unique<quant::TrainedActivation>(quant::TrainedActivationOptions{.bits = 2});
                   act->record_range(true);
                   return act;
                 }});
  for (const quant::Bounding h : {quant::Bounding::clip, quant::Bounding::absolute, quant::Bounding::tanh})
    for (const int bits : {1, 3, 10})
      for (const bool quantizes : {false, true})
        all.push_back({"dorefa", [h, bits, quantizes] {
                         auto act = std::make_unique<quant::DorefaActivation>(bits, h);
                         act->quantize(quantizes);
                         return act;
                       }});
  all.push_back(
      {"pact", [] { return std::make_unique<quant::PactActivation>(quant::PactOptions{.bits = 3, .alpha = 2}); }});
  for (const double step : {0., 0.3})
    all.push_back({"lsq", [step] {
                     return std::make_unique<quant::LearnedStepActivation>(
                         quant::LearnedStepOptions{.bits = 3, .step = step});
                   }});
  all.push_back({"minmax", [] { return std::make_unique<quant::MinMaxActivation>(4); }});
  return all;
}

// What the quantizer makes of a gradient of ones at these points.
std::vector<Real> slopes_at(const Tensor& x, const Surrogate& s) {
  const Var leaf = Var::leaf(x);
  quant::quantize_activation(leaf, Real(0.5), 2, s).backward(Tensor(x.shape(), Real(1)));
  return values(leaf.grad());
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE(
      "every shipped activation behind a normalisation has in one pass the bits of three, gradients and "
      "all") {
    for (const Named& a : shipped())
      for (const bool training : {true, false})
        for (const bool with_shortcut : {false, true})
          for (const std::int64_t channels : {16, 5}) {
            INFO(a.name, training ? " in training" : " in evaluation", with_shortcut ? " with a shortcut, " : ", ",
                 channels, " channels");
            CHECK(everything(*a.make(), {true, training, with_shortcut, channels}) ==
                  everything(*a.make(), {false, training, with_shortcut, channels}));
          }
  }

  TEST_CASE(
      "a surrogate called relu that nobody registered gets its own derivative, behind a normalisation as "
      "well") {
    const Surrogate own(
        "relu", [](auto x, auto) { return x * x / 2; }, [](auto x, auto) { return x; });
    const Tensor x({4}, {-1, Real(0.25), Real(0.5), 2});
    CHECK(slopes_at(x, own) == std::vector<Real>{-2, Real(0.5), 1, 4});  // q = x / 0.5
    CHECK(slopes_at(x, surrogate("relu")) == std::vector<Real>{0, 1, 1, 1});
    const auto gradient = [&own](bool in_one_pass) {
      quant::UniformActivation act(2, 0.5, own);
      return everything(act, {in_one_pass, true, true, 16});
    };
    CHECK(gradient(true) == gradient(false));
    quant::UniformActivation shipped_relu(2, 0.5, surrogate("relu"));
    CHECK(gradient(true) != everything(shipped_relu, {true, true, true, 16}));
  }

  TEST_CASE("an indicator of a user's own is one bit per element, whatever its name, ends as it declares them") {
    const Surrogate own = Surrogate::indicator(
        "tanh", [](auto x, auto window) { return std::clamp(x, window / 3, window); },
        [](auto window) {
          return kernels::PassBand<decltype(window)>{window / 3, window};
        });
    CHECK(own.needs() == Surrogate::Needs::bit);
    const Tensor x({5}, {0, Real(0.5), Real(0.75), Real(1.5), Real(1.75)});  // q = 0, 1, 1.5, 3, 3.5
    CHECK(slopes_at(x, own) == std::vector<Real>{0, 0, 1, 1, 0});
  }
}
