// Least squares with quantized weights: the problem itself, and the toy experiment of the paper on BinaryRelax.
#include "experiments/studies/regression.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "nn/init.h"
#include "quant/weights/binary_relax.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

RegressionResult solved(const Regression& problem, const Part& relaxation) {
  const RegressionSchedule schedule;
  return descend(problem, Part{"binary"}, relaxation, schedule);
}

const Part kRelax{"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 1.02, .hard_from = 450.0 / 600}};

}  // namespace

TEST_SUITE("paper-binary-relax") {
  TEST_CASE("paper-binary-relax 9.9: toy regression, BinaryRelax beats BinaryConnect in most of 120 seeds" *
            doctest::test_suite("paper-binary-relax long")) {
    int best = 0, last = 0;
    double relaxed = 0, connected = 0;
    for (std::uint64_t seed = 1; seed <= 120; ++seed) {
      const Regression problem({}, Rng(seed));
      const RegressionResult a = solved(problem, kRelax), b = solved(problem, {"none"});
      best += a.best < b.best;
      last += a.last < b.last;
      relaxed += a.best / 120;
      connected += b.best / 120;
    }
    CAPTURE(best);
    CAPTURE(relaxed);
    CAPTURE(connected);
    CHECK(best >= 72);  // 60 %
    CHECK(last < best);
    CHECK(relaxed < connected);
  }
}

TEST_CASE("regression: the gradient is that of the loss, and zero at the least-squares solution") {
  const Regression problem({.rows = 12, .columns = 4, .noise = 0.5}, Rng(3));
  Tensor x = nn::uniform({1, 4}, 1, Rng(4));
  const Tensor g = problem.gradient(x);
  for (std::int64_t i = 0; i < 4; ++i) {
    Tensor up = x, down = x;
    up.mutable_data()[i] += Real(0.125);
    down.mutable_data()[i] -= Real(0.125);
    CHECK(g[i] == doctest::Approx((problem.loss(up) - problem.loss(down)) / 0.25).epsilon(1e-4));
  }
  for (const Real v : problem.gradient(problem.least_squares()).view()) CHECK(std::abs(v) < 1e-6);
  CHECK(problem.loss(problem.least_squares()) < problem.loss(x));
  CHECK_THROWS_AS(Regression({.rows = 3, .columns = 4}, Rng(1)), Error);
  CHECK_THROWS_AS(problem.loss(Tensor({1, 5})), Error);
}

TEST_CASE("regression: descent reports the states that it went through, and what is best and last") {
  const Regression problem({.rows = 30, .columns = 6}, Rng(5));
  const RegressionSchedule schedule{.steps = 20, .last_steps = 10};
  std::vector<double> losses, strengths;
  const RegressionResult r =
      descend(problem, Part{"ternary", quant::TernaryOptions{.bits = 2}},
              {"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 2, .hard_from = 20.0 / 30}}, schedule,
              [&](const RegressionState& s) {
                CHECK(s.step == static_cast<std::int64_t>(losses.size()));
                losses.push_back(s.loss_quantized);
                strengths.push_back(s.strength);
                if (s.step >= 20) CHECK(problem.loss(s.effective) == s.loss_quantized);
                if (s.step < 20) CHECK(problem.loss(s.effective) < s.loss_quantized);
              });
  REQUIRE(losses.size() == 30);
  CHECK(strengths[0] == 2);
  CHECK(strengths[19] == std::pow(2, 20));
  CHECK(std::isinf(strengths[20]));
  CHECK(r.first == losses[0]);
  CHECK(r.best == *std::min_element(losses.begin() + 20, losses.end()));
  CHECK(r.last > 0);
}
