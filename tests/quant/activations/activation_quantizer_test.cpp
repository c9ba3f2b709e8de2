// Quantized activations by name: what every one of them must do, and the registry.
#include "quant/activations/activation_quantizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "quant/activations/clipped_relu.h"
#include "quant/activations/trained.h"
#include "quant/activations/uniform.h"
#include "quant/method.h"

using namespace coarsegrad;

namespace {

std::unique_ptr<nn::Activation> made(const Part& part) { return quant::make_activation(part)("act"); }

std::vector<std::string> quantized() {
  auto names = quant::activations().names();
  std::erase_if(names, [](const auto& name) { return !quant::activations().part(name).options.has("bits"); });
  return names;
}

const quant::ActivationQuantizer& quantizer(const nn::Activation& a) {
  return dynamic_cast<const quant::ActivationQuantizer&>(a);
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("activations by name: every one has its bits, keeps shapes, and puts values on few levels") {
    for (const std::string& name : quantized())
      for (const int bits : {1, 2, 4}) {
        INFO(name, " with ", bits, " bits");
        const Part part = quant::activations().part(name);
        if ((name == "sign" && bits > 1) || (name == "mix" && bits > 3)) {
          CHECK_THROWS_AS(part.with("bits", bits), UsageError);
          continue;
        }
        const auto act = made(part.with("bits", bits));
        CHECK(quantizer(*act).bits() == bits);
        (*act)(nn::uniform({300}, 12, Rng(1)));
        act->eval();
        const Tensor y = (*act)(nn::uniform({30, 10}, 12, Rng(2))).value();
        CHECK(y.shape() == Shape{30, 10});
        std::vector<Real> levels(y.view().begin(), y.view().end());
        std::ranges::sort(levels);
        levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
        CHECK(levels.size() > 1);
        CHECK(levels.size() <= static_cast<std::size_t>(1 << bits));
      }
  }

  TEST_CASE("activations by name: relu and hard_tanh are float, and a method keeps them so") {
    const Tensor x({5}, {-2, Real(-0.5), 0, Real(0.5), 2});
    const auto relu = made({"relu"}), hard_tanh = made({"hard_tanh"});
    CHECK(std::ranges::equal((*relu)(x).value().view(), std::vector<Real>{0, 0, 0, Real(0.5), 2}));
    CHECK(std::ranges::equal((*hard_tanh)(x).value().view(), std::vector<Real>{-1, Real(-0.5), 0, Real(0.5), 1}));
    for (const char* name : {"relu", "hard_tanh"}) {
      const quant::Method m{.activations = {name}};
      CHECK(target(m).activation_bits == 0);
      CHECK(with_bits(m, {0, 0}).activations.name == name);
    }
    CHECK(quant::with_bits({.activations = {"sign"}}, {0, 0}).activations.name == "relu");
  }

  TEST_CASE("activations by name: clipped_relu is a float ReLU that ends, and a method keeps it") {
    const Part part{"clipped_relu", quant::ClippedReluOptions{.end = 0.75}};
    const auto clipped = made(part);
    const Var x = Var::leaf(Tensor({5}, {-2, Real(0.25), Real(0.5), Real(0.75), 2}));
    const Var y = (*clipped)(x);
    CHECK(std::ranges::equal(y.value().view(), std::vector<Real>{0, Real(0.25), Real(0.5), Real(0.75), Real(0.75)}));
    y.backward(Tensor({5}, {1, 1, 1, 1, 1}));
    CHECK(std::ranges::equal(x.grad().view(), std::vector<Real>{0, 1, 1, 1, 0}));
    const quant::Method m{.activations = part};
    CHECK(target(m).activation_bits == 0);
    CHECK(with_bits(m, {0, 0}).activations == part);
    for (const double end : {0., -1., std::nan("")})
      CHECK_THROWS_AS(made({"clipped_relu", quant::ClippedReluOptions{.end = end}}), Error);
  }

  TEST_CASE("activations by name: uniform and trained are the modules of that kind, with their options") {
    const auto uniform = made({"uniform", quant::UniformOptions{.bits = 2, .surrogate = "tanh", .alpha = 0.25}});
    const auto& u = dynamic_cast<const quant::UniformActivation&>(*uniform);
    CHECK(u.alpha() == 0.25);
    CHECK(u.surrogate().name() == "tanh");
    CHECK(dynamic_cast<const quant::UniformActivation&>(*made({"uniform", quant::UniformOptions{.bits = 2}})).alpha() ==
          half_gaussian_alpha(2));

    const auto trained =
        made({"trained", quant::TrainedActivationOptions{.bits = 2, .alpha = 0.25, .rate_factor = 0.5}});
    const auto& t = dynamic_cast<const quant::TrainedActivation&>(*trained);
    CHECK(t.alpha.value.item() == Real(0.25));
    CHECK(t.alpha.rate_factor == 0.5);
    CHECK(!t.recording());
    const auto recording = made({"trained", quant::TrainedActivationOptions{.bits = 2, .record_range = true}});
    CHECK(dynamic_cast<const quant::TrainedActivation&>(*recording).recording());
    CHECK(recording->parameters()[0]->rate_factor == 0.01);
    const auto rule_of = [](AlphaRule rule) {
      const auto act = made({"trained", quant::TrainedActivationOptions{.bits = 2, .rule = rule, .alpha = 1}});
      (*act)(Tensor({1}, Real(0.5))).backward(Tensor({1}, Real(1)));
      return act->parameters()[0]->grad().item();
    };
    CHECK(rule_of(AlphaRule::exact) == 1);
    CHECK(rule_of(AlphaRule::three_valued) == 2);
    CHECK(rule_of(AlphaRule::pact) == 0);
  }

  TEST_CASE("activations by name: unknown names list the known ones, and bad options are refused at once") {
    std::string known;
    for (const std::string& name : quant::activations().names()) known += " " + name;
    const std::string message = cat("activation: given 'unifrom', expected one of:", known);
    CHECK_THROWS_WITH_AS(quant::make_activation(Part{"unifrom"}), message.c_str(), UsageError);
    for (const std::string& name : quantized())
      for (const int bits : {0, name.starts_with("dorefa") ? 17 : 9}) {
        INFO(name);
        CHECK_THROWS_AS(quant::make_activation(quant::activations().part(name).with("bits", bits)), UsageError);
      }
    CHECK_THROWS_AS(quant::make_activation(Part{"uniform", quant::UniformOptions{.surrogate = "rellu"}}), UsageError);
    CHECK_THROWS_AS(quant::activations().part("trained").with("surrogate", "relu"), UsageError);
    CHECK_THROWS_AS(quant::make_activation(Part{"uniform", quant::UniformOptions{.alpha = -1}}), Error);
    CHECK_THROWS_AS(quant::make_activation(Part{"trained", quant::TrainedActivationOptions{.rate_factor = -1}}), Error);
  }

  TEST_CASE("activations by name: one that a program registers is known like those shipped") {
    const auto make = [](const quant::UniformOptions& o) { return quant::make_activation({"uniform", o}); };
    quant::activations().add("uniform_of_test", "", quant::UniformOptions{}, make);
    CHECK(quant::activations().names().back() == "uniform_of_test");
    const auto net = nn::lenet5(quant::make_activation({"uniform_of_test", quant::UniformOptions{.bits = 2}}), Rng(1));
    int found = 0;
    for (const auto& [name, module] : net->named_modules())
      found += dynamic_cast<const quant::ActivationQuantizer*>(module) ? 1 : 0;
    CHECK(found == 3);
    for (const char* name : {"uniform_of_test", ""})
      CHECK_THROWS_AS(quant::activations().add(name, "", quant::UniformOptions{}, make), UsageError);
  }
}
