// The closed forms of the two-layer model: golden values, other forms of the same thing, finite differences.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <utility>

#include "core/base/check.h"
#include "quant/theory/clipped_relu.h"
#include "quant/theory/two_layer.h"
#include "tests/support/golden_point.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
using namespace coarsegrad::test;

namespace {

constexpr double kPi = std::numbers::pi;
const double kSqrt2Pi = std::sqrt(2 * kPi);

Vector unit(const Vector& a) { return combine(1 / norm(a), a, 0, a); }

struct Golden {
  const TwoLayer& model = golden_model();
  Vector v = kGoldenPoint.v, w = kGoldenPoint.w;
};

// The integrals that define p and q, by 200-point Gauss-Legendre quadrature on 20 panels.
struct Helpers {
  double p, q;
};

double xi(double x) {
  if (x > 40) return std::sqrt(kPi / 2);
  if (x >= 0.5) return std::sqrt(kPi / 2) * std::erf(x / std::numbers::sqrt2) - x * std::exp(-x * x / 2);
  double sum = 0, term = x * x * x;
  for (int k = 0; k < 20; ++k, term *= -x * x / (2.0 * k)) sum += term / (2 * k + 3);
  return sum;
}

// Nodes and weights on [-1, 1], by Newton's method on the Legendre polynomial.
std::pair<Vector, Vector> gauss_legendre(int count) {
  Vector nodes, weights;
  for (int i = 0; i < count; ++i) {
    double x = std::cos(kPi * (i + 0.75) / (count + 0.5)), slope = 0;
    for (int round = 0; round < 8; ++round) {
      double last = 1, value = x;
      for (int k = 2; k <= count; ++k) last = std::exchange(value, ((2 * k - 1) * x * value - (k - 1) * last) / k);
      slope = count * (x * value - last) / (x * x - 1);
      x -= value / slope;
    }
    nodes.push_back(x);
    weights.push_back(2 / ((1 - x * x) * slope * slope));
  }
  return {nodes, weights};
}

Helpers integrals(double theta, double norm_w) {
  static const auto rule = gauss_legendre(200);
  constexpr int panels = 20;
  const double begin = theta - kPi / 2, width = (kPi - theta) / panels;
  Helpers sum{0, 0};
  for (int panel = 0; panel < panels; ++panel)
    for (std::size_t i = 0; i < rule.first.size(); ++i) {
      const double phi = begin + width * (panel + 0.5 * (1 + rule.first[i]));
      const double f = 0.5 * width * rule.second[i] * xi(1 / (norm_w * std::max(std::cos(phi), 1e-300)));
      sum.p += f * std::cos(phi) / (2 * kPi);
      sum.q += f * std::sin(phi) / (2 * kPi);
    }
  return sum;
}

// The expected coarse gradients as the paper prints them, with the bisector b of w and w*.
Vector bisector_form(const Ste& ste, const TwoLayer& model, const Vector& v, const Vector& w) {
  const double theta = angle(w, model.w_star()), norm_w = norm(w), cross = dot(v, model.v_star());
  const Vector w_hat = unit(w), b = unit(combine(1, w_hat, 1, model.w_star()));
  if (ste.name() == "relu")
    return combine(model.h(v) / (2 * kSqrt2Pi), w_hat, -std::cos(theta / 2) * cross / kSqrt2Pi, b);
  const double p = clipped_p(theta, norm_w), q = clipped_q(theta, norm_w);
  return combine(0.5 * clipped_p_at_zero(norm_w) * model.h(v) - cross * (p - q / std::tan(theta / 2)), w_hat,
                 -cross * q / std::sin(theta / 2), b);
}

}  // namespace

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 8.1: golden point: norm, angle, h, cross product and loss") {
    const Golden g;
    CHECK(norm(g.w) == doctest::Approx(1.3).epsilon(1e-12));
    CHECK(std::abs(angle(g.w, g.model.w_star()) - 1.13395787725604) < 1e-12);
    CHECK(std::abs(g.model.h(g.v) - 5.625) < 1e-12);
    CHECK(std::abs(dot(g.v, g.model.v_star()) + 0.75) < 1e-12);
    CHECK(std::abs(g.model.loss(g.v, g.w) - 0.942768748932531) < 1e-12);
  }

  TEST_CASE("paper-ste 8.2: golden point: gradients of the population loss") {
    const Golden g;
    CHECK(distance(g.model.grad_v(g.v, g.w), {0.242975001423291, -0.0798812496441771, 0.722262499288354}) < 1e-12);
    CHECK(distance(g.model.grad_w(g.v, g.w),
                   {0.0407743557008745, 0.063859836502105, 0.0110930232421497, 0.0506681331871162}) < 1e-12);
  }

  TEST_CASE("paper-ste 8.3: golden point: helper functions of the clipped ReLU") {
    const double theta = 1.13395787725604, norm_w = 1.3;
    CHECK(std::abs(clipped_p_at_zero(norm_w) - 0.102171885817435) < 1e-12);
    CHECK(std::abs(clipped_p(theta, norm_w) - 0.0604392246986125) < 1e-12);
    CHECK(std::abs(clipped_q(theta, norm_w) - 0.109183392575173) < 1e-12);
  }

  TEST_CASE("paper-ste 8.4: golden point: expected coarse gradients and correlations") {
    const Golden g;
    const auto gradient = [&](const Ste& ste) { return g.model.coarse_gradient(ste, g.v, g.w); };
    const auto correlation = [&](const Ste& ste) { return g.model.correlation(ste, g.v, g.w); };
    CHECK(distance(gradient(ste("identity")),
                   {0.632937271790735, -0.494841867036393, 2.08293902171133, 0.149603355150537}) < 1e-12);
    CHECK(distance(gradient(ste("relu")),
                   {0.368254412678246, -0.316468635895367, 1.24861261798718, 0.0748016775752686}) < 1e-12);
    CHECK(distance(gradient(ste("clipped_relu")),
                   {0.113137722036166, -0.0454136714586536, 0.316989513672362, 0.0451871248241003}) < 1e-12);
    CHECK(std::abs(correlation(ste("identity")) - 0.0248933024368273) < 1e-12);
    CHECK(std::abs(correlation(ste("relu")) - 0.0124466512184136) < 1e-12);
    CHECK(std::abs(correlation(ste("clipped_relu")) - 0.00751892738879495) < 1e-12);
  }

  TEST_CASE("paper-ste 8.5: helper table of p and q") {
    const double table[][5] = {{0.5, 1.0, 0.344951313888245, 0.256746895055884, 0.164917855831732},
                               {1, 1.0, 0.156971555882289, 0.102993556485575, 0.12845870397601},
                               {2, 2.5, 0.0468769536371332, 0.0155455152943705, 0.0712139049778582},
                               {1, 3.0, 0.156971555882289, 0.00199620811366626, 0.0281493689127972},
                               {5, 0.3, 0.0078995864259768, 0.0052513528921038, 0.0295593387752862}};
    for (const auto& [norm_w, theta, p_zero, p, q] : table) {
      CHECK(std::abs(clipped_p_at_zero(norm_w) - p_zero) < 1e-12);
      CHECK(std::abs(clipped_p(theta, norm_w) - p) < 1e-12);
      CHECK(std::abs(clipped_q(theta, norm_w) - q) < 1e-12);
    }
  }

  TEST_CASE("paper-ste 8.5: elementary forms of p and q equal the angular integrals") {
    for (const double norm_w : {0.05, 0.3, 1.0, 3.0, 20.0})
      for (const double theta : {1e-3, 0.2, 1.0, 1.5707, 1.6, 2.5, 3.0, 3.14}) {
        const Helpers expected = integrals(theta, norm_w);
        CHECK(std::abs(clipped_p(theta, norm_w) - expected.p) < 1e-9);
        CHECK(std::abs(clipped_q(theta, norm_w) - expected.q) < 1e-9);
      }
  }

  TEST_CASE("paper-ste 8.5: branches of p meet at a right angle and the limits are reached") {
    for (const double norm_w : {0.1, 1.0, 10.0}) {
      CHECK(std::abs(clipped_p(kPi / 2 - 1e-9, norm_w) - clipped_p(kPi / 2 + 1e-9, norm_w)) < 1e-8);
      CHECK(std::abs(clipped_p(1e-9, norm_w) - clipped_p_at_zero(norm_w)) < 1e-8);
      CHECK(clipped_q(1e-9, norm_w) < 1e-8);
      CHECK(clipped_p(kPi - 1e-9, norm_w) < 1e-8);
      CHECK(clipped_q(kPi - 1e-9, norm_w) < 1e-8);
      CHECK(clipped_p(0, norm_w) == clipped_p_at_zero(norm_w));
      CHECK(clipped_p(kPi, norm_w) == 0);
      CHECK(clipped_q(0, norm_w) == 0);
    }
    const double theta = 1.1;
    CHECK(std::abs(clipped_p(theta, 1e-3) - (1 + std::cos(theta)) / (2 * kSqrt2Pi)) < 1e-12);
    CHECK(std::abs(clipped_q(theta, 1e-3) - std::sin(theta) / (2 * kSqrt2Pi)) < 1e-12);
    CHECK(clipped_p(theta, 1e9) < 1e-8);
    CHECK(clipped_q(theta, 1e9) < 1e-8);
  }

  TEST_CASE("paper-ste 8.6: bisector forms of the paper equal the simplified forms") {
    RandomPoints random(5);
    for (int trial = 0; trial < 200; ++trial) {
      const auto [model, v, w] = random_case(random);
      for (const Ste& ste : {ste("relu"), ste("clipped_relu")})
        CHECK(distance(bisector_form(ste, model, v, w), model.coarse_gradient(ste, v, w)) < 1e-11);
    }
  }

  TEST_CASE("paper-ste 8.7: gradients equal central differences of the loss") {
    RandomPoints random(2);
    int trials = 0;
    while (trials < 500) {
      const auto [model, v, w] = random_case(random, std::pow(10, random.uniform(-0.7, 0.7)));
      const double theta = angle(w, model.w_star());
      if (theta < 0.05 || theta > kPi - 0.05) continue;  // the kink of f on the line of w*
      ++trials;
      const Vector grad_v = model.grad_v(v, w), grad_w = model.grad_w(v, w);
      const auto central = [](Vector x, std::size_t i, double step, auto f) {
        x[i] += step;
        const double above = f(x);
        x[i] -= 2 * step;
        return (above - f(x)) / (2 * step);
      };
      double worst_v = 0, worst_w = 0;
      for (std::size_t i = 0; i < v.size(); ++i)
        worst_v =
            std::max(worst_v, std::abs(grad_v[i] - central(v, i, 1e-6, [&, &model = model, &w = w](const Vector& x) {
                                         return model.loss(x, w);
                                       })));
      for (std::size_t i = 0; i < w.size(); ++i)
        worst_w = std::max(
            worst_w, std::abs(grad_w[i] - central(w, i, 1e-6 * norm(w), [&, &model = model, &v = v](const Vector& x) {
                                return model.loss(v, x);
                              })));
      CHECK(worst_v < 2e-5 * (1e-3 + norm(grad_v)));
      CHECK(worst_w < 2e-5 * (1e-3 + norm(grad_w)));
    }
  }

  TEST_CASE("paper-ste 8.7: correlations equal inner products and stand in the stated ratios") {
    RandomPoints random(3);
    for (int trial = 0; trial < 500; ++trial) {
      const auto [model, v, w] = random_case(random, std::pow(10, random.uniform(-0.7, 0.7)));
      const double theta = angle(w, model.w_star());
      if (theta < 0.05 || theta > kPi - 0.05) continue;
      const Vector gradient = model.grad_w(v, w);
      for (const Ste& ste : paper_stes()) {
        const double expected = dot(model.coarse_gradient(ste, v, w), gradient);
        CHECK(expected >= -1e-15);
        CHECK(std::abs(model.correlation(ste, v, w) - expected) <= 1e-8 * std::abs(expected) + 1e-16);
      }
      const double relu = model.correlation(ste("relu"), v, w);
      CHECK(std::abs(model.correlation(ste("identity"), v, w) / relu - 2) < 1e-9);
      CHECK(std::abs(model.correlation(ste("clipped_relu"), v, w) / relu -
                     std::erf(1 / (std::numbers::sqrt2 * norm(w) * std::sin(theta)))) < 1e-9);
    }
  }
}

TEST_SUITE("theory") {
  TEST_CASE("angle is accurate at both ends, where the arc cosine is not") {
    for (const double theta : {1e-9, 1e-5, 1.0, kPi - 1e-5, kPi - 1e-9})
      CHECK(std::abs(angle({std::cos(theta), std::sin(theta)}, {1, 0}) - theta) < 1e-15 + 1e-15 * theta);
    CHECK(angle({2, 0}, {1, 0}) == 0);
    CHECK(angle({-3, 0}, {1, 0}) == kPi);
  }

  TEST_CASE("h and the norm of the ReLU's coarse gradient split as stated") {
    RandomPoints random(9);
    for (int trial = 0; trial < 300; ++trial) {
      const auto [model, v, w] = random_case(random);
      const double theta = angle(w, model.w_star()), cross = dot(v, model.v_star());
      const double along = 4 * dot(v, model.grad_v(v, w));
      CHECK(std::abs(model.h(v) - along - 2 * (1 - theta / kPi) * cross) < 1e-10);
      const double radial = along + cross * (1 - 2 * theta / kPi - std::cos(theta));
      const double across = cross * std::sin(theta), length = norm(model.coarse_gradient(ste("relu"), v, w));
      CHECK(std::abs(8 * kPi * length * length - radial * radial - across * across) < 1e-9);
    }
  }

  TEST_CASE("true gradient has a kink on the line of w* and is undefined there") {
    const TwoLayer model({.5, -1}, {1, 0});
    const Vector v{1, 2};
    for (const double theta : {1e-1, 1e-3, 1e-6}) {
      const Vector above = model.grad_w(v, {std::cos(theta), std::sin(theta)});
      const Vector below = model.grad_w(v, {std::cos(theta), -std::sin(theta)});
      CHECK(std::abs(norm(above) - std::abs(dot(v, model.v_star())) / (2 * kPi)) < 1e-10);
      CHECK(norm(combine(1, above, -1, below)) > 0.47);
    }
    CHECK(std::isnan(model.grad_w(v, {2, 0})[0]));
  }

  TEST_CASE("student without a filter has the loss of the constant 0") {
    const TwoLayer model({1, .6, -.4, .5}, {1, 0});
    CHECK(std::abs(model.loss({9, 9, 9, 9}, {0, 0}) - (1.77 + 1.7 * 1.7) / 8) < 1e-15);
    CHECK_THROWS_WITH_AS(model.coarse_gradient(ste("relu"), {1, 1, 1, 1}, {0, 0}),
                         "coarse_gradient: given w = 0, expected a non-zero w", Error);
  }

  TEST_CASE("vectors of the wrong length and zero teachers are refused") {
    const TwoLayer model({1, 2}, {3, 4, 0});
    CHECK(std::abs(norm(model.w_star()) - 1) < 1e-15);
    CHECK_THROWS_WITH_AS(model.loss({1}, {1, 2, 3}), "loss: given v of length 1 and w of length 3, expected 2 and 3",
                         Error);
    CHECK_THROWS_AS(TwoLayer({0, 0}, {1}), Error);
    CHECK_THROWS_AS(TwoLayer({1}, {0, 0}), Error);
  }
}
