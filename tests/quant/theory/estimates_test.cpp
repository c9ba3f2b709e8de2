// Monte Carlo against the closed forms.
#include "quant/theory/estimates.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "core/base/check.h"
#include "quant/theory/teacher.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
using namespace coarsegrad::test;

namespace {

constexpr double kPi = std::numbers::pi;

const std::vector<const Surrogate*>& closed_form_surrogates() {
  static const std::vector<const Surrogate*> all{&surrogate("identity"), &surrogate("relu"),
                                                 &surrogate("clipped_relu")};
  return all;
}

// Distance from the truth in standard errors. A component that never varies must be exact.
double sigmas(const Moments& sampled, std::int64_t samples, double expected) {
  const Measured m = mean_of(sampled, samples);
  if (m.se == 0) return m.value == expected ? 0 : INFINITY;
  return std::abs(m.value - expected) / m.se;
}

double worst_sigmas(const std::vector<Moments>& sampled, std::int64_t samples, const Vector& expected) {
  REQUIRE(sampled.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, sigmas(sampled[i], samples, expected[i]));
  return worst;
}

std::vector<Moments> components(const GradientMoments& g) { return g.component; }

struct Case {
  TwoLayer model;
  Point point;
};

Case case_at(int m, int n, double norm_w, double theta, const Rng& rng) {
  TwoLayer model(normal_vector(m, rng.split("v*")), random_unit_vector(n, rng.split("w*")));
  const Vector w_perp = random_orthogonal(model.w_star(), rng.split("w_perp"));
  Point point{normal_vector(m, rng.split("v")), filter_at(model.w_star(), w_perp, theta, norm_w)};
  return {std::move(model), std::move(point)};
}

}  // namespace

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 8.14: Monte Carlo means equal the closed forms in six cases") {
    struct Row {
      int m, n;
      double norm_w, theta;
    };
    const Row rows[] = {{1, 2, 1, 1.0},   {2, 3, .3, 2.0},  {3, 4, 1, .4},
                        {4, 5, 2.5, 2.9}, {5, 3, .7, 1.57}, {3, 2, 8, 1.2}};
    const Surrogate true_derivative(
        "true_derivative", [](auto x, auto) { return decltype(x)(x > 0 ? 1 : 0); }, [](auto x, auto) { return x * 0; });
    std::vector<const Surrogate*> surrogates = closed_form_surrogates();
    surrogates.push_back(&true_derivative);
    constexpr std::int64_t kSamples = 400000;
    double worst = 0;
    for (std::uint64_t i = 0; i < 6; ++i) {
      CAPTURE(i);
      const Rng rng = Rng(1).split(i);
      const auto& [m, n, norm_w, theta] = rows[i];
      const auto [model, point] = case_at(m, n, norm_w, theta, rng);
      const Vector zero(static_cast<std::size_t>(n));
      const MonteCarlo drawn = sample_coarse_gradients(model, point, surrogates, {zero, zero}, kSamples, rng);
      const auto within = [&](double z) {
        worst = std::max(worst, z);
        return z < 5;
      };
      CHECK(within(sigmas(drawn.loss, kSamples, model.loss(point.v, point.w))));
      CHECK(within(worst_sigmas(drawn.grad_v, kSamples, model.grad_v(point.v, point.w))));
      for (std::size_t k = 0; k < 3; ++k)
        CHECK(within(worst_sigmas(components(drawn.coarse[k]), kSamples,
                                  model.coarse_gradient(paper_stes()[k], point.v, point.w))));
      for (const Moments& g : drawn.coarse[3].component) {
        CHECK(g.mean == 0);
        CHECK(g.variance == 0);
      }
      // It can fail: the closed form of another estimator is far off.
      CHECK(worst_sigmas(components(drawn.coarse[0]), kSamples, model.coarse_gradient(ste("relu"), point.v, point.w)) >
            5);
    }
    MESSAGE("N = 400000, largest deviation " << worst << " SE");
  }

  TEST_CASE("paper-ste 8.14: deviations of one sample at the golden point") {
    const TwoLayer model({1, .25, -.5}, {.5, .5, .5, .5});
    const Point point{{.5, -1, 2}, {.3, -.4, 1.2, 0}};
    const Vector zero(4);
    const MonteCarlo drawn =
        sample_coarse_gradients(model, point, closed_form_surrogates(), {zero, zero}, 1000000, Rng(5));
    CHECK(std::abs(drawn.loss.mean - 0.942768748932531) < 5e-3);
    CHECK(std::sqrt(drawn.loss.variance) == doctest::Approx(1.0).epsilon(0.1));
    const double expected[] = {3.1, 2.5, 1.8};
    for (std::size_t k = 0; k < 3; ++k) {
      double largest = 0;
      for (const Moments& g : drawn.coarse[k].component) largest = std::max(largest, std::sqrt(g.variance));
      MESSAGE(paper_stes()[k].name() << ": largest deviation of a component " << largest);
      CHECK(largest == doctest::Approx(expected[k]).epsilon(0.15));
    }
  }

  TEST_CASE("paper-ste 8.15: error of the empirical coarse gradient falls like N^(-1/2)") {
    const auto [model, point] = case_at(4, 8, 1, 1.3, Rng(6));
    const Vector expected = model.coarse_gradient(ste("clipped_relu"), point.v, point.w), zero(8);
    const Surrogate* const clipped[] = {&surrogate("clipped_relu")};
    const auto rms_error = [&, &model = model, &point = point](std::int64_t samples) {
      double sum = 0;
      for (std::uint64_t repeat = 0; repeat < 10; ++repeat) {
        const MonteCarlo drawn =
            sample_coarse_gradients(model, point, clipped, {zero, zero}, samples,
                                    Rng(7).split(repeat).split(static_cast<std::uint64_t>(samples)));
        for (std::size_t j = 0; j < expected.size(); ++j) {
          const double off = drawn.coarse[0].component[j].mean - expected[j];
          sum += off * off / 10;
        }
      }
      return std::sqrt(sum);
    };
    const double ratio = rms_error(1000) / rms_error(100000);
    MESSAGE("100 times the samples: error down by " << ratio);
    CHECK(ratio > 5);
    CHECK(ratio < 20);
  }
}

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.12: with the second layer known loss and coarse gradient are those of the angle") {
    const Rng rng(12);
    constexpr std::int64_t kSamples = 400000;
    for (const double theta : {0.4, 1.6, 2.8}) {
      auto [model, point] = case_at(3, 4, 1.7, theta, rng);
      point.v = model.v_star();
      const double square = dot(point.v, point.v);
      Vector expected(4);
      for (std::size_t j = 0; j < 4; ++j)
        expected[j] = square / (2 * std::sqrt(2 * kPi)) * (point.w[j] / norm(point.w) - model.w_star()[j]);
      const Surrogate* const relu[] = {&surrogate("relu")};
      const Vector zero(4);
      const MonteCarlo drawn = sample_coarse_gradients(model, point, relu, {zero, zero}, kSamples, rng);
      CHECK(sigmas(drawn.loss, kSamples, square * theta / (2 * kPi)) < 5);
      CHECK(worst_sigmas(drawn.coarse[0].component, kSamples, expected) < 5);
      CHECK(std::abs(model.loss(point.v, point.w) - square * theta / (2 * kPi)) < 1e-12);
      CHECK(distance(model.coarse_gradient(ste("relu"), point.v, point.w), expected) < 1e-12);
    }
  }
}

TEST_SUITE("theory") {
  TEST_CASE("estimates of correlation and norm bracket the closed forms") {
    const Rng rng(8);
    double squares = 0;
    int numbers = 0;
    for (std::uint64_t i = 0; i < 20; ++i) {
      const auto [model, point] = case_at(4, 6, 1, 0.1 + 0.145 * static_cast<double>(i), rng.split(i));
      const Estimates e = estimate(model, point, closed_form_surrogates(), 20000, rng.split("draw").split(i));
      for (std::size_t k = 0; k < 3; ++k) {
        const Ste& ste = paper_stes()[k];
        const CoarseEstimate& g = e.coarse[k];
        const double true_norm = norm(model.coarse_gradient(ste, point.v, point.w));
        for (const double z : {(g.correlation.value - model.correlation(ste, point.v, point.w)) / g.correlation.se,
                               (g.norm.value - true_norm) / g.norm.se}) {
          CHECK(std::abs(z) < 5);
          squares += z * z;
          ++numbers;
        }
      }
    }
    // Errors that are right give a mean square near 1 (numbers of one angle are dependent).
    MESSAGE("mean square deviation " << squares / numbers);
    CHECK(squares / numbers > 0.5);
    CHECK(squares / numbers < 1.7);
  }

  TEST_CASE("noise does not count as length where the coarse gradient vanishes") {
    const TwoLayer model(reference_second_layer(4), {1, 0, 0, 0, 0, 0, 0, 0});
    const double theta = kPi - 1e-3;
    const Point point{model.best_v(theta), filter_at(model.w_star(), {0, 1, 0, 0, 0, 0, 0, 0}, theta, 1)};
    int zeros = 0;
    for (std::uint64_t i = 0; i < 20; ++i) {
      const Estimates e = estimate(model, point, closed_form_surrogates(), 50000, Rng(3).split(i));
      CHECK(std::abs(e.coarse[0].norm.value - 0.2767) < 5 * e.coarse[0].norm.se);
      CHECK(norm(e.coarse[1].mean) > 0);
      zeros += e.coarse[1].norm.value == 0;
      CHECK(e.coarse[1].norm.value < 8 * e.coarse[1].norm.se);
    }
    CHECK(zeros >= 3);
    CHECK(zeros <= 17);
  }

  TEST_CASE("a surrogate of one's own is estimated like the shipped ones") {
    // Twice the ReLU: all its expectations are twice the ReLU's.
    const Surrogate twice(
        "twice_relu", [](auto x, auto) { return x > 0 ? 2 * x : x * 0; },
        [](auto x, auto) { return decltype(x)(x > 0 ? 2 : 0); });
    const auto [model, point] = case_at(3, 5, 1, 1.1, Rng(10));
    const Surrogate* const both[] = {&surrogate("relu"), &twice};
    const Estimates e = estimate(model, point, both, 5000, Rng(2));
    CHECK(e.coarse[1].correlation.value == doctest::Approx(2 * e.coarse[0].correlation.value).epsilon(1e-6));
    CHECK(e.coarse[1].norm.value == doctest::Approx(2 * e.coarse[0].norm.value).epsilon(1e-6));
    CHECK_THROWS_AS(estimate(model, point, both, 1, Rng(2)), Error);
  }
}
