// Theorem 2: the region from which descent reaches a global minimum.
#include "quant/theory/global_region.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "quant/theory/descent.h"
#include "quant/theory/teacher.h"
#include "tests/support/golden_point.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
using namespace coarsegrad::test;

namespace {

constexpr double kPi = std::numbers::pi;
const Point kGoldenStart{{.5, -.5, .25}, kGoldenPoint.w};

GlobalRegion region_of(const TwoLayer& model, const Point& p) {
  return region_at(model, p.v, angle(p.w, model.w_star()));
}

// E g = R w_hat - B (w* - cos(theta) w_hat).
struct Split {
  double radial, pull;
};

Split split(const TwoLayer& model, const Ste& s, const Point& p) {
  const double norm_w = norm(p.w), theta = angle(p.w, model.w_star());
  const Expectations e = s.expectations(norm_w, theta);
  const double cross = dot(p.v, model.v_star());
  return {(e.n * dot(p.v, p.v) + 0.5 * e.b * model.h(p.v)) / e.over - cross * e.r(theta), cross * e.towards / e.over};
}

// Whether a start has these three conditions, and no others.
std::function<bool(const GlobalRegion&)> exactly(bool cross, bool theta, bool slack) {
  return [=](const GlobalRegion& r) {
    return r.cross_holds() == cross && r.theta_holds() == theta && r.slack_holds() == slack;
  };
}

struct Runs {
  std::vector<Descent> all;
  double share = 0;  // of the random starts
};

// 200 runs on the reference teacher from starts that are as wanted.
Runs runs_from(const Ste& s, double norm_w, std::int64_t steps,
               const std::function<bool(const GlobalRegion&)>& wanted) {
  constexpr int kRuns = 200;
  Runs runs{std::vector<Descent>(kRuns)};
  std::vector<int> draws(kRuns);
  parallel_for(kRuns, [&](std::int64_t i) {
    const auto number = static_cast<std::size_t>(i);
    DrawnStart start = start_where(reference_model(), norm_w, Rng(41).split(number), wanted);
    draws[number] = start.draws;
    runs.all[number] = population_descent(reference_model(), s, std::move(start.point), {.steps = steps});
  });
  int drawn = 0;
  for (const int d : draws) drawn += d;
  runs.share = static_cast<double>(kRuns) / drawn;
  return runs;
}

int count(const Runs& runs, bool (*property)(const Descent&)) {
  return static_cast<int>(std::count_if(runs.all.begin(), runs.all.end(), property));
}

bool at_global_loss(const Descent& d) { return d.last.loss < 1e-3; }
bool at_spurious_loss(const Descent& d) { return std::abs(d.last.loss - 0.289) < 1e-3; }
bool kept(const Descent& d) { return d.worst.holds(); }
bool monotone(const Descent& d) { return d.monotone(); }
bool left_with_long_filter(const Descent& d) { return d.min_norm_w >= 0.05 && !d.worst.holds(); }

}  // namespace

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 8.21: Theorem 2 at the golden start: its three quantities and the parts of E g") {
    const GlobalRegion r = region_of(golden_model(), kGoldenStart);
    CHECK(std::abs(r.cross - 0.25) < 1e-12);
    CHECK(std::abs(r.theta - 1.13395787725604) < 1e-12);
    CHECK(std::abs(r.slack - 0.375) < 1e-12);
    CHECK(r.holds());
    CHECK(std::abs(golden_model().loss(kGoldenStart.v, kGoldenStart.w) - 0.248243750355823) < 1e-12);
    const double golden[3][2] = {{0.182209214606424, 0.0997355701003582},
                                 {0.0661707147781223, 0.0498677850501791},
                                 {0.0200117795750903, 0.0301247498827335}};
    for (std::size_t k = 0; k < 3; ++k) {
      const Split parts = split(golden_model(), paper_stes()[k], kGoldenStart);
      CHECK(std::abs(parts.radial - golden[k][0]) < 1e-12);
      CHECK(std::abs(parts.pull - golden[k][1]) < 1e-12);
    }
  }

  TEST_CASE("paper-ste 8.21: Theorem 2 along the golden runs") {
    struct Row {
      std::int64_t step;
      double cross, theta, slack, loss, norm_w;
    };
    const Row relu[] = {{1, 0.256125078032, 1.132215564424, 0.361325859415, 0.244383580137, 1.296693432},
                        {10, 0.302230714988, 1.114674323974, 0.264932407476, 0.218470468125, 1.272961070},
                        {100, 0.515098904955, 0.862353192333, 0.084190261374, 0.143716142262, 1.260931331},
                        {1000, 1.303611443758, 0.006653529327, 0.000671286118, 0.00138892460811, 2.308011582}};
    const Row clipped[] = {{1, 0.256125078032, 1.132907228662, 0.361325859415, 0.244411774843, 1.299000128},
                           {10, 0.301899401454, 1.122342127575, 0.265063189703, 0.218859614310, 1.291313584},
                           {100, 0.482600969626, 0.963527691876, 0.091383491020, 0.152647838599, 1.258068158},
                           {1000, 1.310062241623, 0.000908943219, 0.000100587933, 0.000190162536405, 1.367417194}};
    for (std::size_t k = 0; k < 3; ++k) {
      const Ste& s = paper_stes()[k];
      CAPTURE(s.name());
      int rows = 0;
      DescentOptions options{.eta = 0.05, .steps = 5000};
      options.observe = [&](const State& state) {
        CHECK_UNARY(state.region().holds());
        if (k == 0 && state.step == 10) CHECK(std::abs(state.loss - 0.217446692322) < 1e-10);
        if (k == 0) return;
        for (const Row& row : k == 1 ? relu : clipped) {
          if (row.step != state.step) continue;
          ++rows;
          CHECK(std::abs(state.cross - row.cross) < 1e-10);
          CHECK(std::abs(state.theta - row.theta) < 1e-10);
          CHECK(std::abs(state.slack - row.slack) < 1e-10);
          CHECK(std::abs(state.loss - row.loss) < 1e-10);
          CHECK(std::abs(state.norm_w - row.norm_w) < 1e-9);
        }
      };
      const Descent run = population_descent(golden_model(), s, kGoldenStart, options);
      CHECK(rows == (k == 0 ? 0 : 4));
      CHECK(run.worst.holds());
      CHECK(run.monotone());
      CHECK(run.last.loss < 1e-6);
      CHECK(run.end == End::global_minimum);
    }
  }

  TEST_CASE("paper-ste 8.21: one step with eta <= 4/(m+1) and eta R <= |w| keeps the three inequalities") {
    RandomPoints random(31);
    int points = 0, grown = 0, steps = 0;
    double worst = 0;
    while (points < 1500) {
      const int m = random.integer(1, 6), n = random.integer(2, 5);
      const TwoLayer model(random.normals(m), random.normals(n));
      Point p{random.normals(m), random.normals(n, std::pow(10, random.uniform(-1, 1)))};
      if (dot(p.w, model.w_star()) < 0) p.w = combine(-1, p.w, 0, p.w);
      if (dot(p.v, model.v_star()) < 0) p.v = combine(-1, p.v, 0, p.v);
      const GlobalRegion before = region_of(model, p);
      if (!before.holds()) continue;
      ++points;
      const double norm_w = norm(p.w), theta = before.theta, square = dot(model.v_star(), model.v_star());
      const double sum = model.sum(), sum_v = sum - before.slack / sum;
      for (const Ste& s : paper_stes()) {
        const auto [radial, pull] = split(model, s, p);
        const double eta = region_step(model, s, p) * random.uniform(0.05, 1);
        CHECK(region_step(model, s, p) <= 4.0 / (m + 1));
        CHECK(region_step(model, s, p) * radial <= norm_w * (1 + 1e-12));
        const Point after{combine(1, p.v, -eta, model.grad_v(p.v, p.w)),
                          combine(1, p.w, -eta, model.coarse_gradient(s, p.v, p.w))};
        const GlobalRegion r = region_of(model, after);
        const double slack = before.slack, c = 1 - 2 * theta / kPi;
        const double cross = (1 - eta / 4) * before.cross + eta / 4 * slack + eta / 4 * c * square;
        const double total = (1 - (m + 1) * eta / 4) * sum * sum_v + eta / 4 * (m + 1 - 2 * theta / kPi) * sum * sum;
        const double along = (norm_w - eta * radial) * std::cos(theta) + eta * pull * std::pow(std::sin(theta), 2);
        worst = std::max({worst, std::abs(r.cross - cross), std::abs(sum * sum - r.slack - total),
                          std::abs(dot(after.w, model.w_star()) - along)});
        CHECK(r.holds());
        grown += r.theta > theta + 1e-9;
        ++steps;
      }
    }
    MESSAGE(steps << " steps, the angle grew in " << grown << " of them; identities to " << worst);
    CHECK(worst < 1e-10);
  }

  TEST_CASE("paper-ste 8.21: a longer step may leave the region") {
    RandomPoints random(32);
    int left = 0;
    for (int trial = 0; trial < 2000; ++trial) {
      const TwoLayer model(random.normals(3), random.normals(3));
      const Point p{random.normals(3), random.normals(3, 0.3)};
      if (!region_of(model, p).holds()) continue;
      const double eta = 3 * region_step(model, ste("identity"), p);
      const Point after{combine(1, p.v, -eta, model.grad_v(p.v, p.w)),
                        combine(1, p.w, -eta, model.coarse_gradient(ste("identity"), p.v, p.w))};
      left += !region_of(model, after).holds();
    }
    CHECK(left > 20);
  }

  TEST_CASE("paper-ste 8.22: runs that start in the region of Theorem 2 end in the global minimum" *
            doctest::test_suite("paper-ste long")) {
    for (const double norm_w : {5.0, 1.0})
      for (const Ste& s : paper_stes()) {
        CAPTURE(norm_w);
        CAPTURE(s.name());
        const bool slow = s.name() == "clipped_relu" && norm_w == 5;
        const Runs runs = runs_from(s, norm_w, slow ? 30000 : 15000, exactly(true, true, true));
        MESSAGE(s.name() << " from |w| = " << norm_w << ": share of starts " << runs.share << ", global "
                         << count(runs, at_global_loss) << ", kept " << count(runs, kept) << ", monotone "
                         << count(runs, monotone));
        CHECK(std::abs(runs.share - 0.168) < 0.03);
        CHECK(count(runs, at_global_loss) == 200);
        CHECK(count(runs, left_with_long_filter) == 0);
        if (norm_w != 5) continue;
        if (s.name() == "identity") {
          CHECK(count(runs, kept) < 194);
        } else {
          CHECK(count(runs, kept) >= 194);
          CHECK(count(runs, monotone) >= 194);
        }
      }
  }

  TEST_CASE("paper-ste 8.22: of the conditions of Theorem 2 the one on the angle matters, the others alone do not" *
            doctest::test_suite("paper-ste long")) {
    for (const auto& [key, steps] : {std::pair<std::string, int>{"relu", 15000}, {"clipped_relu", 30000}}) {
      const std::string& name = key;
      CAPTURE(name);
      const auto spurious = [&, name = name, steps = steps](bool cross, bool theta, bool slack) {
        return count(runs_from(ste(name), 5, steps, exactly(cross, theta, slack)), at_spurious_loss);
      };
      const int third = spurious(true, true, false), first = spurious(false, true, true),
                first_and_angle = spurious(false, false, true);
      MESSAGE(name << ", spurious ends of 200: third violated " << third << ", first " << first << ", first and angle "
                   << first_and_angle);
      CHECK(third <= 2);
      CHECK(first <= 2);
      CHECK(first_and_angle >= 4);
    }
  }
}

TEST_SUITE("theory") {
  TEST_CASE("the region of Theorem 2 is open where it is strict, and rounding does not leave it") {
    const GlobalRegion inside{.cross = 0.1, .theta = 1, .slack = 0};
    CHECK(inside.holds());
    CHECK(GlobalRegion{0.1, 1, -1e-13}.holds());
    CHECK_FALSE(GlobalRegion{0.1, 1, -1e-11}.holds());
    CHECK_FALSE(GlobalRegion{0, 1, 0}.holds());
    CHECK_FALSE(GlobalRegion{0.1, kPi / 2, 0}.holds());
    const GlobalRegion both = worse(inside, {0.2, 0.5, -3});
    CHECK(both.cross == 0.1);
    CHECK(both.theta == 1);
    CHECK(both.slack == -3);
  }

  TEST_CASE("starts that are wanted are drawn until there is one, or refused where there is none") {
    const auto in_region = [](const GlobalRegion& r) { return r.holds(); };
    const DrawnStart a = start_where(reference_model(), 2, Rng(3), in_region),
                     b = start_where(reference_model(), 4, Rng(3), in_region);
    CHECK(region_of(reference_model(), a.point).holds());
    CHECK(std::abs(norm(a.point.w) - 2) < 1e-12);
    CHECK(a.draws == b.draws);
    CHECK(distance(a.point.v, b.point.v) == 0);  // the length alone differs
    CHECK_THROWS_AS(start_where(reference_model(), 2, Rng(3), [](const GlobalRegion&) { return false; }), Error);
  }
}
