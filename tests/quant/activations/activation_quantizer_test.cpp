// Quantized activations by name: what every one of them must do, and the registry.
#include "quant/activations/activation_quantizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "quant/activations/trained.h"
#include "quant/activations/uniform.h"

using namespace coarsegrad;

namespace {

std::unique_ptr<nn::Activation> made(const std::string& name, const quant::ActivationOptions& options) {
  return quant::activation_quantizer(name, options)("act");
}

const quant::ActivationQuantizer& quantizer(const nn::Activation& a) {
  return dynamic_cast<const quant::ActivationQuantizer&>(a);
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("activations by name: every one has its bits, keeps shapes, and puts values on few levels") {
    for (const std::string& name : quant::activation_names())
      for (const int bits : {1, 2, 4}) {
        INFO(name, " with ", bits, " bits");
        if (name == "sign" && bits > 1) {
          CHECK_THROWS_AS(made(name, {.bits = bits}), UsageError);
          continue;
        }
        const auto act = made(name, {.bits = bits});
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

  TEST_CASE("activations by name: uniform and trained are the modules of that kind, with their options") {
    const auto uniform = made("uniform", {.bits = 2, .surrogate = "tanh", .alpha = 0.25});
    const auto& u = dynamic_cast<const quant::UniformActivation&>(*uniform);
    CHECK(u.alpha() == 0.25);
    CHECK(u.surrogate().name() == "tanh");
    CHECK(dynamic_cast<const quant::UniformActivation&>(*made("uniform", {.bits = 2})).alpha() ==
          half_gaussian_alpha(2));

    const auto trained = made("trained", {.bits = 2, .alpha = 0.25, .rate_factor = 0.5});
    const auto& t = dynamic_cast<const quant::TrainedActivation&>(*trained);
    CHECK(t.alpha.value.item() == Real(0.25));
    CHECK(t.alpha.rate_factor == 0.5);
    CHECK(!t.recording());
    const auto recording = made("trained", {.bits = 2, .record_range = true});
    CHECK(dynamic_cast<const quant::TrainedActivation&>(*recording).recording());
    CHECK(recording->parameters()[0]->rate_factor == 0.01);
    const auto rule_of = [](AlphaRule rule) {
      const auto act = made("trained", {.bits = 2, .alpha = 1, .alpha_rule = rule});
      (*act)(Tensor({1}, Real(0.5))).backward(Tensor({1}, Real(1)));
      return act->parameters()[0]->grad().item();
    };
    CHECK(rule_of(AlphaRule::exact) == 1);
    CHECK(rule_of(AlphaRule::three_valued) == 2);
    CHECK(rule_of(AlphaRule::pact) == 0);
  }

  TEST_CASE("activations by name: unknown names list the known ones, and bad options are refused at once") {
    std::string known;
    for (const std::string& name : quant::activation_names()) known += " " + name;
    const std::string message = cat("activation: given 'unifrom', expected one of:", known);
    CHECK_THROWS_WITH_AS(quant::activation_quantizer("unifrom"), message.c_str(), UsageError);
    for (const std::string& name : quant::activation_names())
      for (const int bits : {0, name.starts_with("dorefa") ? 17 : 9}) {
        INFO(name);
        CHECK_THROWS_AS(quant::activation_quantizer(name, {.bits = bits}), UsageError);
      }
    CHECK_THROWS_AS(quant::activation_quantizer("uniform", {.surrogate = "rellu"}), UsageError);
    CHECK_THROWS_AS(quant::activation_quantizer("trained", {.surrogate = "relu"}), UsageError);
    CHECK_THROWS_AS(quant::activation_quantizer("uniform", {.alpha = -1}), Error);
    CHECK_THROWS_AS(quant::activation_quantizer("trained", {.rate_factor = -1}), Error);
  }

  TEST_CASE("activations by name: one that a program registers is known like those shipped") {
    quant::register_activation("uniform_of_test", [](const quant::ActivationOptions& o) {
      return quant::activation_quantizer("uniform", o);
    });
    CHECK(quant::activation_names().back() == "uniform_of_test");
    const auto net = nn::lenet5(quant::activation_quantizer("uniform_of_test", {.bits = 2}), Rng(1));
    int found = 0;
    for (const auto& [name, module] : net->named_modules())
      found += dynamic_cast<const quant::ActivationQuantizer*>(module) ? 1 : 0;
    CHECK(found == 3);
    CHECK_THROWS_AS(quant::register_activation("uniform_of_test", nullptr), UsageError);
    CHECK_THROWS_AS(quant::register_activation("", nullptr), UsageError);
  }
}
