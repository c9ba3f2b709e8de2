// PACT against its equations: levels, both gradients, and what the optimizer makes of alpha.
#include "quant/activations/pact.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/deferred.h"
#include "nn/init.h"
#include "optim/sgd.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::PactActivation;

TEST_SUITE("quant") {
  TEST_CASE("pact: round(clip(x, 0, alpha) (2^k - 1) / alpha) alpha / (2^k - 1), with codes") {
    with_each_table([] {
      const Tensor x = nn::uniform({5003}, 4, Rng(1));
      for (const int bits : {1, 2, 4, 8})
        for (const double alpha : {0.5, 2.7, 10.}) {
          PactActivation act({.bits = bits, .alpha = alpha});
          CHECK(act.bits() == bits);
          const Tensor y = act(x).value();
          REQUIRE(y.coded() != nullptr);
          const auto top = static_cast<Real>((1 << bits) - 1), a = static_cast<Real>(alpha);
          for (std::int64_t i = 0; i < x.numel(); ++i) {
            const Real code = std::nearbyint(std::clamp(x[i], Real(0), a) * top / a);
            CHECK(static_cast<Real>(y.coded()->codes()[i]) == code);
            CHECK(y[i] == doctest::Approx(static_cast<double>(code * a / top)).epsilon(1e-6));
          }
        }
    });
  }

  TEST_CASE("pact: dy/dx is 1 inside of the window, dy/dalpha the sum where x > alpha") {
    const Tensor x = nn::uniform({20001}, 3, Rng(2)), g = nn::uniform({20001}, 1, Rng(3));
    for (const int bits : {1, 2, 4}) {
      PactActivation act({.bits = bits, .alpha = 1.5});
      const Var leaf = Var::leaf(x);
      act(leaf).backward(g);
      double expected = 0, size = 0;
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        CHECK(leaf.grad()[i] == (x[i] > 0 && x[i] <= Real(1.5) ? g[i] : 0));
        if (x[i] > Real(1.5)) expected += static_cast<double>(g[i]);
        size += std::abs(static_cast<double>(g[i]));
      }
      CHECK(std::abs(expected) > 1);
      CHECK(std::abs(static_cast<double>(act.alpha.grad().item()) - expected) <= 1e-5 * size);
    }
  }

  TEST_CASE(
      "pact: at the clip itself the derivatives with respect to x and alpha are 1 and 0, not the paper's 0 and 1") {
    PactActivation act({.bits = 2, .alpha = 1.5});
    const Var x = Var::leaf(Tensor({3}, {Real(1.25), Real(1.5), Real(1.75)}));
    act(x).backward(Tensor({3}, {1, 2, 4}));
    CHECK(std::ranges::equal(x.grad().view(), std::vector<Real>{1, 2, 0}));
    CHECK(act.alpha.grad().item() == 4);
  }

  TEST_CASE("pact: alpha takes weight decay and its own rate, and stays within bounds") {
    PactActivation act({.bits = 4, .alpha = 2, .rate_factor = 0.5});
    CHECK(act.alpha.decay);
    optim::Sgd sgd(act.parameters(), {.lr = 0.1, .weight_decay = 0.01});
    const auto stepped = [&](Real g) {
      act.alpha.set_grad(Tensor::scalar(g));
      sgd.step();
      return static_cast<double>(act.alpha.value.item());
    };
    CHECK(stepped(0) == doctest::Approx(2 - 0.05 * 0.02));
    CHECK(stepped(Real(1e9)) == doctest::Approx(PactActivation::kLeastAlpha));
    for (const double alpha : {0., -1., 1e5, std::nan("")}) CHECK_THROWS_AS(PactActivation({.alpha = alpha}), Error);
    CHECK_THROWS_AS(PactActivation({.rate_factor = -1}), Error);
    CHECK_THROWS_AS(PactActivation({.bits = 9}), UsageError);
  }

  TEST_CASE("pact: alpha's gradient has the same bits for 1 and 2 threads") {
    const Tensor x = nn::uniform({200001}, 3, Rng(4)), g = nn::uniform({200001}, 1, Rng(5));
    CHECK(same_with_two_threads([&] {
      PactActivation act({.bits = 4, .alpha = 1});
      act(Var::leaf(x)).backward(g);
      return std::vector<Real>{act.alpha.grad().item()};
    }));
  }
}
