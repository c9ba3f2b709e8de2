// Relaxations against their formulas, weight by weight and through the rule that trains a network.
#include "quant/weights/relaxation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/deferred.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/binary_relax.h"
#include "quant/weights/mix.h"
#include "quant/weights/projection.h"
#include "quant/weights/prox_quant.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

const Tensor& some_weights() {
  static const Tensor w({6}, {Real(0.5), Real(-1.5), Real(0.25), 3, Real(-0.75), 0});
  return w;  // mean |w| = 1
}
constexpr double kSigns[] = {1, -1, 1, 1, -1, 1};

std::unique_ptr<quant::WeightProjection> binary() { return quant::weight_projection({"binary"}); }

// The relaxation of this name, with a strength of 1/2 where it has one, all along the training.
Part half_strong(const std::string& name) {
  Part part = quant::relaxations().part(name);
  for (const char* strength : {"rho", "lambda", "rate", "first", "last"})
    if (part.options.has(strength)) part.options.set(strength, 0.5);
  for (const auto& [option, value] : {std::pair{"growth", 1.0}, std::pair{"hard-from", 1.0}})
    if (part.options.has(option)) part.options.set(option, value);
  return part;
}

double strength_at(quant::Relaxation& r, double epoch, double epochs = 100) {
  r.advance({epoch, epochs});
  return r.strength();
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("advance: every module of a network is told where the training stands") {
    class Sharper : public nn::Sequential {
     public:
      void advance(const quant::Progress& at) override { share = at.share(); }
      double share = 0;
    } net;
    auto& inner = net.add<Sharper>("inner");
    net.add<nn::Flatten>("flatten");  // which does not care
    quant::advance(net, {3, 4});
    CHECK(net.share == 0.75);
    CHECK(inner.share == 0.75);
  }

  TEST_CASE("relax: (w + lambda proj(w)) / (1 + lambda), weight by weight") {
    for (const double lambda : {0.25, 1.0, 7.0, 1e6}) {
      const auto relax =
          quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = lambda, .growth = 1, .hard_from = 1}});
      const auto projection = binary();
      const Tensor x = relax->effective(*projection, some_weights());
      CHECK(x.coded() == nullptr);
      for (std::int64_t i = 0; i < 6; ++i)
        CHECK(x[i] == static_cast<Real>((some_weights()[i] + lambda * kSigns[i]) / (1 + lambda)));
      const Tensor g({6}, {1, 2, 3, 4, 5, 6});
      CHECK(values(relax->gradient(*projection, some_weights(), g).weight) == values(g));
    }
  }

  TEST_CASE("mix: a proj(w) + (1 - a) w, with any projection, and the gradient of the projection where |w| <= 1") {
    for (const char* name : {"binary", "xnor"}) {
      const auto projection = quant::weight_projection({name});
      const Tensor w = some_weights().reshaped({2, 3}), g({2, 3}, {1, 2, 3, 4, 5, 6});
      const Tensor p = projection->project(w), of_projection = projection->gradient(w, g).weight;
      for (const auto factor : {quant::MixFactor::paper, quant::MixFactor::one})
        for (const double a : {0.0, 0.25, 1.0}) {
          INFO(name, ", a = ", a);
          const auto mix = quant::relaxation({"mix", quant::MixOptions{.first = a, .last = a, .factor = factor}});
          CHECK(mix->strength() == a);
          const Tensor x = mix->effective(*projection, w), d = mix->gradient(*projection, w, g).weight;
          CHECK((x.coded() != nullptr) == (a == 1));
          const Real f = factor == quant::MixFactor::one ? 1 : static_cast<Real>(2 * a);
          for (std::int64_t i = 0; i < 6; ++i) {
            CHECK(x[i] == (a == 0 ? w[i] : static_cast<Real>(a) * p[i] + static_cast<Real>(1 - a) * w[i]));
            CHECK(d[i] == (std::abs(w[i]) <= 1 ? f * of_projection[i] : 0));
          }
        }
    }
    Tensor nan({2}, {std::numeric_limits<Real>::quiet_NaN(), 3});
    quant::relaxation({"mix"})->after_step(*binary(), 1, nan);
    CHECK(std::isnan(nan[0]));
    CHECK(nan[1] == 1);
  }

  TEST_CASE("relax: lambda may grow every half epoch, up to a cap, options out of range are refused") {
    const auto half =
        quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 2, .every = 0.5, .hard_from = 1}});
    CHECK(half->strength() == 2);
    CHECK(strength_at(*half, 0.49) == 2);
    CHECK(strength_at(*half, 0.5) == 4);
    CHECK(strength_at(*half, 3) == 128);
    CHECK(std::isinf(strength_at(*half, 100)));
    const auto capped =
        quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = 0, .growth = 2, .most = 10, .hard_from = 1}});
    CHECK(strength_at(*capped, 50) == 0);
    CHECK(strength_at(*quant::relaxation(
                          {"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 2, .most = 10, .hard_from = 1}}),
                      50) == 10);
    CHECK_THROWS_AS(quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = -1, .growth = 1, .hard_from = 1}}),
                    Error);
    CHECK_THROWS_AS(quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 0.9, .hard_from = 1}}),
                    Error);
    CHECK_THROWS_AS(
        quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 1, .every = 0, .hard_from = 1}}),
        Error);
    CHECK_THROWS_AS(quant::relaxation({"blend", quant::BlendOptions{.rho = 1, .every = 0}}), Error);
    for (const std::string& name : quant::relaxations().names())
      for (const OptionField& field : quant::relaxations().part(name).options.fields())
        for (const double bad : {std::nan(""), HUGE_VAL}) {
          INFO(name, ' ', field.text.name);
          CHECK_THROWS_AS(quant::relaxations().part(name).with(field.text.name, bad), UsageError);
        }
    for (const Part& part : {Part{"blend", quant::BlendOptions{.rho = 0, .growth = 1e200}},
                             Part{"relax", quant::BinaryRelaxOptions{.lambda = 0, .growth = 1e200, .hard_from = 1}}}) {
      const auto none = quant::relaxation(part);
      none->advance({.epoch = 5, .epochs = 10});
      CHECK(none->strength() == 0);  // and not 0 times infinity
    }
  }

  TEST_CASE("prox: the network sees float weights; each moves towards its projection by eta lambda, not beyond") {
    const auto prox = quant::relaxation({"prox", quant::ProxQuantOptions{.rate = 0.5, .hard_from = 1}});
    const auto projection = binary();
    CHECK(values(prox->effective(*projection, some_weights())) == values(some_weights()));
    Tensor w = some_weights();
    prox->advance({0.9, 10});  // lambda is 0 in the first epoch
    prox->after_step(*projection, 1, w);
    CHECK(values(w) == values(some_weights()));
    prox->advance({2, 10});
    CHECK(prox->strength() == 1);
    prox->after_step(*projection, 0.625, w);
    CHECK(values(w) == std::vector<Real>{1, -1, Real(0.875), Real(2.375), -1, Real(0.625)});
    CHECK(values(some_weights())[0] == Real(0.5));
  }

  TEST_CASE("prox: the step minimises |z - w|^2 / 2 + eta lambda |z - q|_1 over z") {
    const auto prox = quant::relaxation({"prox", quant::ProxQuantOptions{.rate = 1, .hard_from = 1}});
    const auto projection = binary();
    for (const double amount : {0.1, 0.5, 2.0}) {
      prox->advance({1, 10});
      Tensor w = some_weights();
      prox->after_step(*projection, amount, w);
      for (std::int64_t i = 0; i < 6; ++i) {
        const auto objective = [&](double z) {
          const double d = z - some_weights()[i];
          return d * d / 2 + amount * std::abs(z - kSigns[i]);
        };
        for (const double off : {-1.0, -0.1, -1e-3, 1e-3, 0.1, 1.0})
          CHECK(objective(w[i]) <= objective(w[i] + off) + 1e-6 * std::abs(off));
      }
    }
  }

  TEST_CASE("prox_squared: (w + eta lambda q) / (1 + eta lambda)") {
    const auto prox = quant::relaxation({"prox_squared", quant::ProxQuantOptions{.rate = 2, .hard_from = 1}});
    const auto projection = binary();
    prox->advance({3, 10});
    Tensor w = some_weights();
    prox->after_step(*projection, 0.5, w);
    for (std::int64_t i = 0; i < 6; ++i) CHECK(w[i] == doctest::Approx((some_weights()[i] + 3 * kSigns[i]) / 4));
  }

  TEST_CASE("prox: frozen weights stay for every optimizer, momentum and decay included, biases move on") {
    for (const bool adam : {false, true}) {
      nn::Linear layer(3, 2, Rng(1));
      quant::WeightRule rule(layer, Part{"binary"},
                             Part{"prox", quant::ProxQuantOptions{.rate = 0.1, .hard_from = 0.5}});
      std::unique_ptr<optim::Optimizer> optimizer;
      if (adam)
        optimizer = std::make_unique<optim::Adam>(layer.parameters(), optim::AdamOptions{.weight_decay = 0.1});
      else
        optimizer = std::make_unique<optim::Sgd>(layer.parameters(),
                                                 optim::SgdOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1});
      quant::QuantizedOptimizer quantized(*optimizer, layer, {.weights = &rule}, {1, 10});
      const auto step = [&](bool hard) {
        quantized.zero_grad();
        CHECK((layer.weight.effective.coded() != nullptr) == hard);
        layer(Tensor({1, 3}, {1, 2, 3})).backward(Tensor({1, 2}, {1, -1}));
        quantized.step();
      };
      for (int epoch = 0; epoch < 5; ++epoch) {
        const auto before = values(layer.weight.value);
        step(false);
        CHECK(values(layer.weight.value) != before);
      }
      const auto weights = values(layer.weight.value), bias = values(layer.bias->value);
      for (int epoch = 5; epoch < 10; ++epoch) step(true);
      CHECK(values(layer.weight.value) == weights);
      CHECK(values(layer.bias->value) != bias);
    }
  }

  TEST_CASE("prox: options out of range are refused") {
    CHECK_THROWS_AS(quant::relaxation({"prox", quant::ProxQuantOptions{.rate = -1, .hard_from = 1}}), Error);
    CHECK_THROWS_AS(quant::relaxation({"prox_squared", quant::ProxQuantOptions{.rate = 1, .every = 0, .hard_from = 1}}),
                    Error);
    const auto capped =
        quant::relaxation({"prox", quant::ProxQuantOptions{.rate = 0.5, .every = 0.5, .most = 3, .hard_from = 1}});
    CHECK(strength_at(*capped, 2) == 2);
    CHECK(strength_at(*capped, 50) == 3);
    CHECK(std::isinf(strength_at(*capped, 100)));
  }

  TEST_CASE("clip: float weights stay within -1 and 1 after every step, without it they leave") {
    for (const char* name : {"clip", "none"}) {
      nn::Linear layer(3, 2, Rng(1));
      quant::WeightRule rule(layer, Part{"sign"}, Part{std::string(name)});
      optim::Sgd sgd(layer.parameters(), {.lr = 0.25});
      quant::QuantizedOptimizer optimizer(sgd, layer, {.weights = &rule}, {20, 1});
      for (int i = 0; i < 20; ++i) {
        optimizer.zero_grad();
        for (const Real x : layer.weight.effective.view()) CHECK(std::abs(x) == 1);
        layer(Tensor({1, 3}, {1, -2, 3})).backward(Tensor({1, 2}, {1, -1}));
        optimizer.step();
      }
      const std::vector<Real> expected{-1, 1, -1, 1, -1, 1};
      CHECK((values(layer.weight.value) == expected) == (std::string(name) == "clip"));
    }
  }

  TEST_CASE("relaxations have the same bits for 1 and 2 threads and take the projection's codes as they are") {
    const Tensor w = nn::uniform({64, 3, 3, 200}, 1, Rng(5));
    for (const char* name : {"relax", "prox", "prox_squared", "clip", "blend", "mix"})
      CHECK(same_with_two_threads([&] {
        const auto r = quant::relaxation(half_strong(name));
        const auto projection = quant::weight_projection({"ternary", quant::TernaryOptions{.bits = 2}});
        r->advance({2, 10});
        const Tensor x = r->effective(*projection, w);
        Tensor moved = w;
        r->before_step(x, moved);
        r->after_step(*projection, 0.1, moved);
        std::vector<Real> all = values(x);
        for (const Real v : moved.view()) all.push_back(v);
        return all;
      }));
  }

  TEST_CASE("relaxations: names, unknown ones list the known") {
    CHECK_SAYS(complaint_of([] { quant::relaxation({"relaxed"}); }),
               "relaxation: given 'relaxed', expected one of: none blend clip mix relax prox prox_squared");
    for (const std::string& name : quant::relaxations().names()) CHECK(quant::relaxation({name})->name() == name);
  }
}
