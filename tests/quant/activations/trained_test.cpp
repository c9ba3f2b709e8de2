// Quantized activations with a trained resolution: both gradients against the scalar rules, one alpha at two
// places, what the optimizer makes of it, and the start from a float net.
#include "quant/activations/trained.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::TrainedActivation;

namespace {

constexpr AlphaRule kRules[] = {AlphaRule::exact, AlphaRule::three_valued, AlphaRule::pact};

Tensor gaussian_tensor(std::int64_t n, std::uint64_t seed) {
  Tensor x({n});
  Rng(seed).normal(x.mutable_data(), static_cast<std::size_t>(n), Real(0), Real(1));
  return x;
}

struct Gradients2 {
  Tensor y, dx;
  double dalpha;
};
Gradients2 passed(const Tensor& x, double alpha, int bits, AlphaRule rule, const Tensor& seed) {
  const Var leaf = Var::leaf(x), a = Var::leaf(Tensor::scalar(static_cast<Real>(alpha)));
  const Var y = quant::quantize_activation(leaf, {.alpha = a, .bits = bits, .rule = rule});
  y.backward(seed);
  return {y.value(), leaf.grad(), static_cast<double>(a.grad().item())};
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("behind a normalisation, too, recording sees the sum with the shortcut") {
    TrainedActivation act({.bits = 2});
    act.record_range(true);
    nn::BatchNorm norm(8);
    norm.eval();
    act(norm(Tensor({1, 8}, Real(2))) + Tensor({1, 8}, Real(4)));
    CHECK(act.alpha.value.item() == doctest::Approx(2).epsilon(1e-4));
  }

  TEST_CASE("trained alpha: values and the gradient to x are those of a fixed alpha with a clipped ReLU") {
    with_each_table([] {
      const Tensor x = gaussian_tensor(5003, 1), seed = gaussian_tensor(5003, 2);
      for (const int bits : {1, 2, 4, 8}) {
        const Gradients2 trained = passed(x, 0.3, bits, AlphaRule::exact, seed);
        const Var leaf = Var::leaf(x);
        const Var y = quant::quantize_activation(leaf, Real(0.3), bits, surrogate("clipped_relu"));
        y.backward(seed);
        CHECK(std::ranges::equal(trained.y.view(), y.value().view()));
        CHECK(std::ranges::equal(trained.dx.view(), leaf.grad().view()));
      }
    });
  }

  TEST_CASE("trained alpha: its gradient is the sum of the incoming one times the scalar rule") {
    with_each_table([] {
      for (const int bits : {1, 2, 3, 4, 8})
        for (const AlphaRule rule : kRules) {
          const Real alpha = Real(1.5) / static_cast<Real>(highest_level(bits));
          const Real top = static_cast<Real>(highest_level(bits));
          Tensor x = gaussian_tensor(20001, 3);
          for (std::int64_t k = 0; k <= 300; ++k) x.mutable_data()[k] = alpha * static_cast<Real>(k) / 2;
          const Tensor seed = gaussian_tensor(20001, 4);
          double expected = 0, size = 0;
          for (std::int64_t i = 0; i < x.numel(); ++i) {
            const double term =
                static_cast<double>(seed[i]) * static_cast<double>(alpha_derivative(rule, x[i], alpha, top));
            expected += term;
            size += std::abs(term);
          }
          const double tolerance = 8 * static_cast<double>(std::numeric_limits<Real>::epsilon());
          CHECK(std::abs(passed(x, static_cast<double>(alpha), bits, rule, seed).dalpha - expected) <=
                tolerance * size);
        }
    });
  }

  TEST_CASE("trained alpha: the rules differ, as does each from no gradient at all") {
    const Tensor x = gaussian_tensor(1000, 5), ones({1000}, Real(1));
    const auto gradient = [&](AlphaRule rule) { return passed(x, 0.25, 2, rule, ones).dalpha; };
    CHECK(gradient(AlphaRule::exact) > gradient(AlphaRule::pact));
    CHECK(gradient(AlphaRule::three_valued) > gradient(AlphaRule::pact));
    CHECK(gradient(AlphaRule::exact) != gradient(AlphaRule::three_valued));
    CHECK(gradient(AlphaRule::pact) > 0);
  }

  TEST_CASE("one module at two places: its alpha has the sum of both gradients") {
    TrainedActivation shared({.bits = 2}), first({.bits = 2}), second({.bits = 2});
    const Tensor x = gaussian_tensor(500, 6);
    const auto run = [&](TrainedActivation& a, TrainedActivation& b) {
      sum(b(a(x) * Real(1.7) - Real(0.4))).backward();
    };
    run(shared, shared);
    run(first, second);
    const Real both = first.alpha.grad().item() + second.alpha.grad().item();
    CHECK(first.alpha.grad().item() != 0);
    CHECK(second.alpha.grad().item() != 0);
    CHECK(shared.alpha.grad().item() == doctest::Approx(both).epsilon(1e-5));
  }

  TEST_CASE("a residual block uses its activation twice and has one alpha") {
    const auto net =
        nn::make_network("resnet20", quant::make_activation({"trained", quant::TrainedActivationOptions{.bits = 4}}),
                         Rng(1), {.width = 4});
    int alphas = 0;
    for (const auto& [name, p] : net->named_parameters()) alphas += name.ends_with(".alpha") || name == "alpha";
    CHECK(alphas == 1 + 9);
    sum(square((*net)(nn::uniform({2, 32, 32, 3}, 1, Rng(2))))).backward();
    for (const auto& [name, p] : net->named_parameters()) CHECK(p->grad().defined());
  }

  TEST_CASE("the rate factor multiplies alpha's learning rate, with the clamp it multiplies the gradient") {
    const Tensor x = gaussian_tensor(1000, 7);
    const auto run = [&](const quant::TrainedActivationOptions& options, double scale) {
      TrainedActivation a(options);
      optim::Sgd sgd(a.parameters(), {.lr = 0.1});
      a(x).backward(Tensor({1000}, static_cast<Real>(scale)));
      const double gradient = static_cast<double>(a.alpha.grad().item()),
                   before = static_cast<double>(a.alpha.value.item());
      sgd.step();
      return std::pair{gradient, before - static_cast<double>(a.alpha.value.item())};
    };
    const auto [plain, plain_step] = run({.alpha = 2.0}, 0.02);
    CHECK(plain_step == doctest::Approx(0.1 * 0.01 * plain).epsilon(1e-3));
    const auto [factored, factored_step] = run({.alpha = 2.0, .clamp_gradient = true}, 0.02);
    CHECK(factored == doctest::Approx(0.01 * plain).epsilon(1e-5));
    CHECK(factored_step == doctest::Approx(plain_step).epsilon(1e-3));
    CHECK(run({.alpha = 2.0, .clamp_gradient = true}, 50).first == 1);
    CHECK(run({.alpha = 2.0, .clamp_gradient = true}, -50).first == -1);
  }

  TEST_CASE("alpha stays within its bounds, whatever the step") {
    for (const double direction : {1., -1.}) {
      TrainedActivation a({.bits = 2, .rate_factor = 1});
      optim::Sgd sgd(a.parameters(), {.lr = 100});
      a(gaussian_tensor(100, 8)).backward(Tensor({100}, static_cast<Real>(direction)));
      sgd.step();
      CHECK(a.alpha.value.item() == static_cast<Real>(direction > 0 ? 0.001 : 5));
    }
  }

  TEST_CASE("range recording: a ReLU that leaves max|x| / K in alpha, in training mode only") {
    TrainedActivation a({.bits = 2});
    CHECK(a.alpha.value.item() == static_cast<Real>(0.6511));
    a.record_range(true);
    const Var y = a(Tensor({4}, {-6, 1, 3, 0}));
    CHECK(a.alpha.value.item() == 2);
    const Real relu_values[] = {0, 1, 3, 0};
    CHECK(std::ranges::equal(y.value().view(), relu_values));
    a(Tensor({2}, {-Real(1.5), Real(0.5)}));
    CHECK(a.alpha.value.item() == Real(0.5));
    a.eval();
    a(Tensor({1}, Real(30)));
    CHECK(a.alpha.value.item() == Real(0.5));
    a.train();
    a(Tensor({1}, Real(1000)));
    CHECK(a.alpha.value.item() == 5);
    a(Tensor({2}));
    CHECK(a.alpha.value.item() == 5);
    a(Tensor({2}, Real(1e-6)));
    CHECK(a.alpha.value.item() == Real(0.001));
    a.record_range(false);
    CHECK(a(Tensor({1}, Real(1000))).item() == Real(0.001) * 3);
  }

  TEST_CASE("warm start: alphas recorded by a float net go with its state into the quantized net") {
    const auto plain =
        nn::lenet5(quant::make_activation({"trained", quant::TrainedActivationOptions{.record_range = true}}), Rng(1));
    (*plain)(nn::uniform({8, 28, 28, 1}, 1, Rng(2)));
    const auto quantized = nn::lenet5(quant::make_activation({"trained"}), Rng(3));
    quantized->load_state_dict(plain->state_dict());
    int started = 0;
    for (const auto& [name, module] : quantized->named_modules())
      if (const auto* a = dynamic_cast<TrainedActivation*>(module)) {
        ++started;
        CHECK(!a->recording());
        CHECK(a->alpha.value.item() > Real(0.05));
        CHECK(a->alpha.value.item() != static_cast<Real>(half_gaussian_alpha(4)));
      }
    CHECK(started == 3);
  }

  TEST_CASE("states with and without alphas are loaded into nets without and with them, others not") {
    const auto plain = nn::lenet5(nn::relu_activation(), Rng(1)),
               quantized = nn::lenet5(
                   quant::make_activation({"trained", quant::TrainedActivationOptions{.bits = 4, .alpha = 0.5}}),
                   Rng(2));
    quant::load_state_with_any_alphas(*quantized, plain->state_dict());
    const auto weight = [](nn::Module& net) { return net.parameters()[0]->value[0]; };
    CHECK(weight(*quantized) == weight(*plain));
    const auto other = nn::lenet5(nn::relu_activation(), Rng(3));
    quant::load_state_with_any_alphas(*other, quantized->state_dict());
    CHECK(weight(*other) == weight(*plain));
    for (const auto& [name, p] : quantized->named_parameters())
      if (name.ends_with(".alpha")) CHECK(p->value.item() == Real(0.5));
    nn::StateDict damaged = plain->state_dict();
    damaged.pop_back();
    CHECK_THROWS_AS(quant::load_state_with_any_alphas(*quantized, damaged), Error);
    damaged = plain->state_dict();
    damaged.emplace_back("alphabet", Tensor({1}));
    CHECK_THROWS_AS(quant::load_state_with_any_alphas(*quantized, damaged), Error);
  }

  TEST_CASE("trained activation: bits, alpha and factors out of range are refused") {
    for (const int bits : {0, 9}) CHECK_THROWS_AS(TrainedActivation({.bits = bits}), UsageError);
    for (const double alpha : {-1., 1e-4, 6., std::nan("")})
      CHECK_THROWS_AS(TrainedActivation({.alpha = alpha}), Error);
    CHECK_THROWS_AS(TrainedActivation({.rate_factor = -1}), Error);
  }

  TEST_CASE("empty and NaN inputs: no gradient to alpha, and NaN is not lost") {
    TrainedActivation a({.bits = 2});
    const Var empty = a(Var::leaf(Tensor({0, 3})));
    empty.backward(Tensor({0, 3}));
    CHECK(a.alpha.grad().item() == 0);
    const Var y = a(Tensor({2}, {std::numeric_limits<Real>::quiet_NaN(), 1}));
    CHECK(std::isnan(y.value()[0]));
    CHECK(y.value()[1] > 0);
  }

  TEST_CASE("trained alpha: gradients have the same bits for 1 and 2 threads") {
    const Tensor x = gaussian_tensor(200001, 9), seed = gaussian_tensor(200001, 10);
    for (const AlphaRule rule : kRules)
      CHECK(same_with_two_threads([&] {
        const Gradients2 g = passed(x, 0.2, 4, rule, seed);
        std::vector<double> all(g.dx.view().begin(), g.dx.view().end());
        all.push_back(g.dalpha);
        return all;
      }));
  }
}

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.1: the op gives the levels and the three derivatives in alpha, one by one") {
    const std::vector<Real> x{Real(-.3), 0, Real(.1), Real(.5), Real(.7), Real(1.2), Real(1.5), Real(1.6), 3};
    struct Row {
      int bits;
      AlphaRule rule;
      std::vector<double> expected;
    };
    const Row rows[] = {
        {1, AlphaRule::exact, {0, 0, 1, 1, 1, 1, 1, 1, 1}},
        {1, AlphaRule::three_valued, {0, 0, 1, 1, 1, 1, 1, 1, 1}},
        {1, AlphaRule::pact, {0, 0, 0, 0, 1, 1, 1, 1, 1}},
        {2, AlphaRule::exact, {0, 0, 1, 1, 2, 3, 3, 3, 3}},
        {2, AlphaRule::three_valued, {0, 0, 2, 2, 2, 2, 2, 3, 3}},
        {2, AlphaRule::pact, {0, 0, 0, 0, 0, 0, 0, 3, 3}},
        {4, AlphaRule::exact, {0, 0, 1, 1, 2, 3, 3, 4, 6}},
        {4, AlphaRule::three_valued, {0, 0, 8, 8, 8, 8, 8, 8, 8}},
        {4, AlphaRule::pact, {0, 0, 0, 0, 0, 0, 0, 0, 0}},
    };
    for (const Row& row : rows)
      for (std::size_t i = 0; i < x.size(); ++i)
        CHECK(passed(Tensor({1}, x[i]), 0.5, row.bits, row.rule, Tensor({1}, Real(1))).dalpha == row.expected[i]);
  }
}

#ifdef COARSEGRAD_DOUBLE
TEST_SUITE("paper-bcgd") {
  // Fits sigma(x, alpha) to max(x, 0), x ~ N(0, 1), by descent in alpha along its coarse gradient. The grid
  // leaves out x <= 0, where there is nothing to fit.
  TEST_CASE("paper-bcgd 9.14: descent with the exact rule stops where alpha = E(k x) / E(k^2)") {
    constexpr std::int64_t kGrid = 8000;
    Tensor x({kGrid}), density({kGrid});
    double total = 0;
    for (std::int64_t i = 0; i < kGrid; ++i) {
      const double at = 8 * static_cast<double>(i + 1) / kGrid;
      x.mutable_data()[i] = at;
      density.mutable_data()[i] = std::exp(-at * at / 2);
      total += 2 * density[i];
    }
    const auto fitted = [&](int bits, AlphaRule rule) {
      TrainedActivation a({.bits = bits, .rule = rule, .alpha = 2. / highest_level(bits), .rate_factor = 1});
      optim::Sgd sgd(a.parameters(), {.lr = 0.25 / (1 << bits)});
      for (int step = 0; step < 1000; ++step) {
        const Var y = a(x);
        Tensor seed({kGrid});
        for (std::int64_t i = 0; i < kGrid; ++i) seed.mutable_data()[i] = density[i] / total * (y.value()[i] - x[i]);
        sgd.zero_grad();
        y.backward(seed);
        sgd.step();
      }
      return a.alpha.value.item();
    };
    const std::pair<int, double> expected[] = {{2, 0.4125}, {4, 0.1242}};
    for (const auto& [bits, value] : expected) {
      const double alpha = fitted(bits, AlphaRule::exact), top = highest_level(bits);
      double kx = 0, kk = 0;
      for (std::int64_t i = 0; i < kGrid; ++i) {
        const double k = activation_level(x[i], alpha, top);
        kx += density[i] * k * x[i];
        kk += density[i] * k * k;
      }
      CHECK(std::abs(alpha - kx / kk) <= 1e-3);
      CHECK(std::abs(alpha - value) <= 1e-3);
    }
    CHECK(std::abs(fitted(2, AlphaRule::three_valued) - 0.4053) <= 1e-3);  // another rule stops elsewhere
  }
}
#endif
