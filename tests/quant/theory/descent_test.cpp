// Coarse gradient descent on the population and on the empirical loss.
#include "quant/theory/descent.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "quant/theory/teacher.h"
#include "tests/support/golden_point.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
using namespace coarsegrad::test;

namespace {

constexpr double kPi = std::numbers::pi;

struct Traced {
  Descent run;
  Vector losses;
};

Traced golden_run(const Ste& ste, std::int64_t steps) {
  Traced traced;
  DescentOptions options{.eta = 0.05, .steps = steps};
  options.observe = [&](const State& state) { traced.losses.push_back(state.loss); };
  traced.run = population_descent(golden_model(), ste, kGoldenPoint, options);
  return traced;
}

// The 200 random starts of item 16: v ~ N(0, I), |w| = 5.
std::vector<Descent> random_runs(const Ste& ste, std::int64_t steps) {
  std::vector<Descent> runs(200);
  parallel_for(200, [&](std::int64_t i) {
    const Rng rng = Rng(11).split(static_cast<std::uint64_t>(i));
    runs[static_cast<std::size_t>(i)] =
        population_descent(reference_model(), ste, random_start(reference_model(), 5, rng), {.steps = steps});
  });
  return runs;
}

template <class F>
int count_if(const std::vector<Descent>& runs, F&& property) {
  return static_cast<int>(std::count_if(runs.begin(), runs.end(), property));
}

bool at_global_loss(const Descent& run) { return run.last.loss < 1e-3; }
bool at_spurious_loss(const Descent& run) { return std::abs(run.last.loss - 0.289) < 1e-3; }

double median(Vector x) {
  std::sort(x.begin(), x.end());
  return 0.5 * (x[(x.size() - 1) / 2] + x[x.size() / 2]);
}

// Median over 20 draws of teacher, start and inputs.
double median_excess_variation(std::int64_t samples) {
  Vector etas, variations;
  for (int i = 0; i <= 200; ++i) etas.push_back(i / 200.0);
  for (std::uint64_t draw = 0; draw < 20; ++draw) {
    const Rng rng = Rng(21).split(draw);
    const TwoLayer model(normal_vector(4, rng.split("v*")), random_unit_vector(8, rng.split("w*")));
    const EmpiricalLoss empirical(model, samples, rng.split("Z"));
    variations.push_back(excess_variation(
        empirical.one_step_curve(surrogate("relu"), random_start(model, 1, rng.split("start")), etas)));
  }
  return median(variations);
}

}  // namespace

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 8.11: golden population runs after 1 and 10 steps") {
    const double expected[3][2] = {
        {0.912494786876, 0.692628727709}, {0.913193150477, 0.707088087327}, {0.913465806299, 0.710655849893}};
    for (std::size_t k = 0; k < 3; ++k) {
      const Vector losses = golden_run(paper_stes()[k], 10).losses;
      CHECK(std::abs(losses[1] - expected[k][0]) < 1e-10);
      CHECK(std::abs(losses[10] - expected[k][1]) < 1e-10);
    }
  }

  TEST_CASE("paper-ste 8.11: golden runs end at the spurious minimum, at the global one, and nowhere") {
    const Descent relu = golden_run(ste("relu"), 5000).run, clipped = golden_run(ste("clipped_relu"), 5000).run;
    CHECK(std::abs(relu.last.loss - 0.0703125) < 1e-9);
    CHECK(relu.end == End::spurious_minimum);
    CHECK(clipped.last.loss < 1e-9);
    CHECK(clipped.monotone());
    CHECK(clipped.end == End::global_minimum);
    const Traced identity = golden_run(ste("identity"), 5000);
    const auto [low, high] = std::minmax_element(identity.losses.begin() + 1000, identity.losses.end());
    CHECK(std::abs(*low - 0.0708) < 0.001);
    CHECK(std::abs(*high - 0.5527) < 0.01);
    CHECK(identity.run.end == End::unsettled);
    CHECK_FALSE(identity.run.monotone());
  }

  TEST_CASE("paper-ste 8.12: near the spurious minimum ReLU and clipped ReLU converge, the identity leaves") {
    Point start{reference_model().spurious_minimum().v, reference_filter(kPi - 0.2, 1)};
    for (double& x : start.v) x += 0.01;
    const auto run = [&](const Ste& ste) { return population_descent(reference_model(), ste, start, {.steps = 4000}); };
    for (const auto& [ste, norm_w] : {std::pair{ste("relu"), 1.1116}, std::pair{ste("clipped_relu"), 1.0362}}) {
      const Descent d = run(ste);
      CHECK(d.max_increase < 1e-12);
      CHECK(std::abs(d.last.loss - 0.289) < 1e-4);
      CHECK(std::abs(d.last.norm_w - norm_w) < 1e-3);
      CHECK(d.end == End::spurious_minimum);
    }
    const Descent identity = run(ste("identity"));
    CHECK(identity.max_increase > 0.01);
    CHECK(identity.min_theta < kPi / 2);
  }

  TEST_CASE("paper-ste 8.13: the identity escapes at the predicted step with the predicted jump") {
    struct Row {
      double eta, norm_w;
      std::int64_t step;
    };
    const TwoLayer& model = reference_model();
    CHECK(std::abs(model.escape_jump() - 0.307) < 1e-12);
    for (const Row& row : {Row{.05, 1, 73}, Row{.01, 1, 362}, Row{.05, 2, 145}, Row{.01, 2, 723}}) {
      std::int64_t step = 0;
      double before = model.spurious_minimum().loss, jump = 0;
      DescentOptions options{.eta = row.eta, .steps = 1000};
      options.observe = [&](const State& state) {
        if (step == 0 && state.loss > before + 1e-3) {
          step = state.step;
          jump = state.loss - before;
        }
        before = state.loss;
      };
      population_descent(model, ste("identity"), {model.spurious_minimum().v, reference_filter(kPi - 1e-3, row.norm_w)},
                         options);
      CHECK(std::abs(static_cast<double>(step) - row.norm_w / (row.eta * model.identity_drift())) <= 2);
      CHECK(std::abs(step - row.step) <= 2);
      CHECK(std::abs(jump - 0.3070) < 0.002);
    }
  }

  TEST_CASE("paper-ste 8.16: ends and monotonicity of 200 random starts" * doctest::test_suite("paper-ste long")) {
    const auto monotone = [](const Descent& d) { return d.monotone(); };
    const auto broken = [](const Descent& d) { return d.min_norm_w >= 0.2 && !d.monotone(); };
    const std::vector<Descent> relu = random_runs(ste("relu"), 15000);
    const std::vector<Descent> clipped = random_runs(ste("clipped_relu"), 30000);
    const std::vector<Descent> identity = random_runs(ste("identity"), 15000);
    CHECK(count_if(relu, broken) == 0);
    CHECK(count_if(clipped, broken) == 0);
    CHECK(count_if(relu, monotone) >= 194);
    CHECK(count_if(clipped, monotone) == 200);
    CHECK(count_if(identity, monotone) < 180);
    for (const auto& runs : {relu, clipped}) {
      const int global = count_if(runs, at_global_loss), spurious = count_if(runs, at_spurious_loss);
      MESSAGE("global " << global << ", spurious " << spurious << ", monotone " << count_if(runs, monotone));
      CHECK(global + spurious >= 194);
      CHECK(spurious >= 2);
      CHECK(spurious <= 24);
      CHECK(count_if(runs, [](const Descent& d) { return d.end == End::spurious_minimum; }) == spurious);
    }
    MESSAGE("identity: global " << count_if(identity, at_global_loss) << ", monotone " << count_if(identity, monotone));
    CHECK(count_if(identity, at_spurious_loss) == 0);
  }

  TEST_CASE("paper-ste 8.17: one-step curve is smooth for many samples and rough for few") {
    const double few = median_excess_variation(10), many = median_excess_variation(20000);
    MESSAGE("median excess variation: N = 10 " << few << ", N = 20000 " << many);
    CHECK(many < 0.02);
    CHECK(many <= few);
  }

  TEST_CASE("paper-ste 8.18: empirical descent ends near a population minimiser") {
    const Rng rng(21);
    const TwoLayer model(normal_vector(4, rng.split("v*")), random_unit_vector(8, rng.split("w*")));
    const EmpiricalLoss empirical(model, 4000, rng.split("Z"));
    const Point start = random_start(model, 2, rng.split("start"));
    for (const char* name : {"relu", "clipped_relu"}) {
      double first = -1;
      DescentOptions options{.eta = 0.2, .steps = 600};
      options.observe = [&](const State& state) {
        if (state.step == 0) first = state.loss;
      };
      const Descent run = empirical_descent(model, empirical, surrogate(name), start, options);
      MESSAGE(std::string(name) << ": loss " << first << " -> " << run.last.loss << ", angle " << run.last.theta);
      CHECK((run.last.loss < 0.05 * first || std::abs(run.last.loss - model.spurious_minimum().loss) < 0.1 * first));
    }
  }
}

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.12: with the second layer known the angle falls monotonically to 0") {
    const TwoLayer& model = reference_model();
    const Vector v = model.v_star();
    const double square = dot(v, v), scale = 2 * std::sqrt(2 * kPi) / square;
    for (const double theta : {0.5, 2.0, 3.0}) {
      Vector w = reference_filter(theta, 1);
      double before = theta;
      for (int step = 0; step < 4000; ++step) {
        w = combine(1, w, -0.1 * scale, model.coarse_gradient(ste("relu"), v, w));
        const double now = angle(w, model.w_star());
        CHECK_UNARY(now <= before);
        before = now;
      }
      CHECK(before < 1e-3);
    }
  }
}

TEST_SUITE("theory") {
  TEST_CASE("rescaled filters make every estimator monotone and let the identity stay at the spurious minimum") {
    const TwoLayer& model = reference_model();
    const Point start{model.spurious_minimum().v, reference_filter(kPi - 0.2, 1)};
    for (const Ste& ste : paper_stes()) {
      const Descent run = population_descent(model, ste, start, {.steps = 4000, .rescale = true});
      CHECK(run.monotone());
      CHECK(run.end == End::spurious_minimum);
      CHECK(std::abs(run.last.norm_w - 1) < 1e-12);
    }
  }

  TEST_CASE("a run on the saddle is classified as such, and one without steps where it starts") {
    const TwoLayer& model = reference_model();
    const Critical saddle = *model.saddle();
    const Point at_saddle{saddle.v, reference_filter(saddle.theta, 1)};
    CHECK(population_descent(model, ste("relu"), at_saddle, {.steps = 50}).end == End::saddle);
    CHECK(classify(model, {model.v_star(), reference_filter(0, 3)}, 1e-3) == End::global_minimum);
    CHECK(classify(model, {model.spurious_minimum().v, reference_filter(kPi, 3)}, 1e-3) == End::spurious_minimum);
    CHECK(classify(model, {model.v_star(), reference_filter(2, 3)}, 1e-3) == End::unsettled);
    CHECK(end_name(End::saddle) == "saddle");
  }

  TEST_CASE("descent stops when the filter vanishes instead of dividing by its length") {
    const TwoLayer model({1, 1}, {1, 0});
    // With v = v_pi at theta = pi the identity moves w along itself: one step of the right size hits the origin.
    const Vector v = model.spurious_minimum().v, w{-1, 0};
    const double drift = norm(model.coarse_gradient(ste("identity"), v, w));
    const Descent run = population_descent(model, ste("identity"), {v, w}, {.eta = 1 / drift, .steps = 10});
    CHECK(run.vanished);
    CHECK(run.end == End::unsettled);
    CHECK(run.last.step == 0);
  }

  TEST_CASE("empirical loss, gradients and curve agree with each other and do not depend on threads") {
    const Rng rng(4);
    const TwoLayer model(normal_vector(3, rng.split("v*")), random_unit_vector(5, rng.split("w*")));
    const EmpiricalLoss empirical(model, 30011, rng.split("Z"));
    const Point start = random_start(model, 1, rng.split("start"));
    const int threads = num_threads();
    set_num_threads(1);
    const Gradients one = empirical.gradients(surrogate("relu"), start);
    set_num_threads(2);
    const Gradients two = empirical.gradients(surrogate("relu"), start);
    set_num_threads(threads);
    CHECK(one.loss == two.loss);
    CHECK(distance(one.w, two.w) == 0);
    const Vector curve = empirical.one_step_curve(surrogate("relu"), start, {0, 0.3});
    CHECK(std::abs(curve[0] - one.loss) < 1e-6);
    const Point moved{combine(1, start.v, -0.3, one.v), combine(1, start.w, -0.3, one.w)};
    CHECK(std::abs(curve[1] - empirical.gradients(surrogate("relu"), moved).loss) < 1e-3);
    CHECK(std::abs(one.loss - model.loss(start.v, start.w)) < 0.05 * (1 + one.loss));
    CHECK(distance(one.v, model.grad_v(start.v, start.w)) < 0.05);
    CHECK(distance(one.w, model.coarse_gradient(ste("relu"), start.v, start.w)) < 0.1);
    CHECK_THROWS_AS(EmpiricalLoss(model, 0, rng), Error);
  }

  TEST_CASE("descent: a step or a tolerance that is no finite number is refused") {
    for (const double bad : {std::nan(""), HUGE_VAL}) {
      CHECK_THROWS_AS(population_descent(golden_model(), ste("relu"), kGoldenPoint, {.eta = bad}), Error);
      CHECK_THROWS_AS(population_descent(golden_model(), ste("relu"), kGoldenPoint, {.tolerance = bad}), Error);
    }
  }

  TEST_CASE("excess variation is 0 for a falling curve and counts what goes up before the minimum") {
    CHECK(excess_variation({4, 3, 1, 2, 9}) == 0);
    CHECK(excess_variation({4, 5, 1}) == doctest::Approx(2.0 / 3));
    CHECK_THROWS_AS(excess_variation({}), Error);
  }
}
