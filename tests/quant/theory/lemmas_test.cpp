// The lemmas behind the theorems of the STE paper, and Theorem 1 in numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "quant/theory/clipped_relu.h"
#include "quant/theory/descent.h"
#include "quant/theory/monte_carlo.h"
#include "tests/support/golden_point.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
using namespace coarsegrad::test;

namespace {

constexpr double kPi = std::numbers::pi;
const double kSqrt2Pi = std::sqrt(2 * kPi);

// b w_hat = E[z mu'(z'w)] and along w_hat + towards w* = E[z mu'(z'w) 1{z'w* > 0}].
struct Vectors {
  Vector all, where_teacher_is_on;
};

Vectors vectors(const Ste& s, const Vector& w, const Vector& w_star) {
  const double norm_w = norm(w);
  const Expectations e = s.expectations(norm_w, angle(w, w_star));
  return {combine(e.b / e.over / norm_w, w, 0, w), combine(e.along / e.over / norm_w, w, e.towards / e.over, w_star)};
}

// |E g|^2 / (|df/dv|^2 + correlation).
double quotient(const TwoLayer& model, const Ste& s, const Vector& v, const Vector& w) {
  const Vector g = model.coarse_gradient(s, v, w), grad_v = model.grad_v(v, w);
  return dot(g, g) / (dot(grad_v, grad_v) + model.correlation(s, v, w));
}

// The constants that the paper's own proofs give, written out.
double proof_constant(const Ste& s, const TwoLayer& model, const Vector& v, const Vector& w) {
  const double square = dot(v, v), norm_w = norm(w);
  if (s.name() == "relu")
    return std::max(6 * square / kPi, 2 * std::pow(kSqrt2Pi, 3) * norm_w * (3 * kPi / 32 + 3 / (2 * kPi)));
  const double p = clipped_p_at_zero(norm_w), q = clipped_q(angle(w, model.w_star()), norm_w);
  return std::max(16 * p * p * square, 8 * kPi * norm_w * (2 + kPi * kPi / 4) * q);
}

// The unit vector orthogonal to w that points towards w*, over |w|.
Vector direction_over_length(const Vector& w, const Vector& w_star) {
  const TwoLayer model({1}, w_star);
  return combine(-2 * kPi, model.grad_w({1}, w), 0, w);
}

// Mean and standard error, one sample after the other.
struct Mean {
  double sum = 0, squares = 0;
  std::int64_t count = 0;
  void add(double x) {
    sum += x;
    squares += x * x;
    ++count;
  }
  double sigmas(double expected) const {
    const double n = static_cast<double>(count), mean = sum / n;
    return std::abs(mean - expected) / std::sqrt((squares / n - mean * mean) / n);
  }
};

}  // namespace

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 8.23: Lemmas 11 and 12 at the golden point") {
    const Vector w = kGoldenPoint.w, w_star = golden_model().w_star();
    const Vectors relu = vectors(ste("relu"), w, w_star), clipped = vectors(ste("clipped_relu"), w, w_star);
    CHECK(distance(relu.all, {0.0920636031695614, -0.122751470892749, 0.368254412678246, 0}) < 1e-12);
    CHECK(distance(relu.where_teacher_is_on,
                   {0.145767371685139, 0.0383598346539839, 0.283862776439481, 0.0997355701003582}) < 1e-12);
    CHECK(std::abs((kPi - angle(w, w_star)) / (2 * kPi) - 0.319524998576709) < 1e-12);
    CHECK(distance(clipped.all, {0.0235781274963312, -0.0314375033284416, 0.0943125099853249, 0}) < 1e-12);
    CHECK(distance(clipped.where_teacher_is_on,
                   {0.0624323179369787, 0.0573390755367847, 0.0689807724515138, 0.060249499765467}) < 1e-12);
  }

  TEST_CASE("paper-ste 8.23: Lemmas 11 and 12 are means over Gaussian vectors") {
    const Vector w = kGoldenPoint.w, w_star = golden_model().w_star();
    RandomPoints random(51);
    Mean both, first_on[4], clipped_on[4], clipped[4];
    for (int sample = 0; sample < 300000; ++sample) {
      const Vector z = random.normals(4);
      const double x = dot(z, w), y = dot(z, w_star);
      const bool on = x > 0 && y > 0;
      both.add(on);
      for (std::size_t j = 0; j < 4; ++j) {
        first_on[j].add(on ? z[j] : 0);
        clipped[j].add(x > 0 && x < 1 ? z[j] : 0);
        clipped_on[j].add(x > 0 && x < 1 && y > 0 ? z[j] : 0);
      }
    }
    CHECK(both.sigmas((kPi - angle(w, w_star)) / (2 * kPi)) < 5);
    const Vectors relu = vectors(ste("relu"), w, w_star), of_clipped = vectors(ste("clipped_relu"), w, w_star);
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(first_on[j].sigmas(relu.where_teacher_is_on[j]) < 5);
      CHECK(clipped[j].sigmas(of_clipped.all[j]) < 5);
      CHECK(clipped_on[j].sigmas(of_clipped.where_teacher_is_on[j]) < 5);
    }
    CHECK(first_on[0].sigmas(of_clipped.where_teacher_is_on[0]) > 5);
  }

  TEST_CASE("paper-ste 8.23: Lemma 13 and what p and q are bounded by") {
    double least_p = 1, least_zero = 1, symmetry = 0, rho_over = -1, largest = 0;
    for (int i = 0; i <= 40; ++i)
      for (int k = 0; k <= 200; ++k) {
        const double norm_w = std::pow(10, -2 + 0.1 * i), theta = kPi * k / 200;
        const double zero = clipped_p_at_zero(norm_w), p = clipped_p(theta, norm_w), q = clipped_q(theta, norm_w);
        symmetry = std::max({symmetry, std::abs(p + clipped_p(kPi - theta, norm_w) - zero),
                             std::abs(q - clipped_q(kPi - theta, norm_w))});
        rho_over = std::max(rho_over, std::abs((1 - theta / kPi) * zero - p) - q);
        largest = std::max(largest, norm_w * q);
        if (k < 100) continue;
        least_p = std::min(least_p, q - p);
        least_zero = std::min(least_zero, q - (1 - theta / kPi) * zero);
      }
    for (const double norm_w : {0.01, 1.0, 100.0}) {
      CHECK(clipped_p(kPi, norm_w) == 0);
      CHECK(clipped_q(0, norm_w) == 0);
      CHECK(clipped_q(kPi, norm_w) < 1e-14);
    }
    CHECK(symmetry < 1e-14);
    CHECK(least_p > -1e-14);
    CHECK(least_zero > -1e-14);
    CHECK(rho_over < 1e-14);
    CHECK(largest <= 1 / (2 * kPi));
    CHECK(largest > 0.99 / (2 * kPi));
  }

  TEST_CASE("paper-ste 8.23: the norm bound holds with the constants of the proofs") {
    RandomPoints random(52);
    double worst_relu = 0, worst_clipped = 0, worst_free = 0;
    for (int trial = 0; trial < 3000; ++trial) {
      const auto [model, v, w] = random_case(random, std::pow(10, random.uniform(-1, 1)));
      const double theta = angle(w, model.w_star());
      if (theta < 1e-3 || theta > kPi - 1e-3) continue;
      const double relu = quotient(model, ste("relu"), v, w), clipped = quotient(model, ste("clipped_relu"), v, w);
      worst_relu = std::max(worst_relu, relu / proof_constant(ste("relu"), model, v, w));
      worst_clipped = std::max(worst_clipped, clipped / proof_constant(ste("clipped_relu"), model, v, w));
      worst_free = std::max(worst_free, clipped / std::max(4 * dot(v, v) / kPi, 3.0));
    }
    MESSAGE("worst ratios: ReLU " << worst_relu << ", clipped ReLU " << worst_clipped << ", whatever |w| "
                                  << worst_free);
    for (const double worst : {worst_relu, worst_clipped, worst_free}) {
      CHECK(worst <= 1 + 1e-9);
      CHECK(worst > 0.1);
    }
    const auto& [v, w] = kGoldenPoint;
    CHECK(std::abs(proof_constant(ste("relu"), golden_model(), v, w) - 31.6121723996) < 1e-9);
    CHECK(std::abs(proof_constant(ste("clipped_relu"), golden_model(), v, w) - 15.936565921) < 1e-9);
  }

  TEST_CASE("paper-ste 8.23: without an upper bound of |w| the ReLU has no constant, the clipped ReLU has") {
    const TwoLayer& model = golden_model();
    const double relu[] = {1.10125, 11.0125, 110.125, 1101.25}, clipped[] = {0.807917, 0.998076, 0.999982, 1.0};
    for (int i = 0; i < 4; ++i) {
      const Vector v = model.best_v(1), w = filter_at(model.w_star(), {.5, .5, -.5, -.5}, 1, std::pow(10, i));
      CHECK(norm(model.grad_v(v, w)) < 1e-14);
      CHECK(quotient(model, ste("relu"), v, w) == doctest::Approx(relu[i]).epsilon(1e-4));
      CHECK(quotient(model, ste("clipped_relu"), v, w) == doctest::Approx(clipped[i]).epsilon(1e-4));
    }
  }

  TEST_CASE("paper-ste 8.23: Lemma 14: the angle is Lipschitz, its gradient within one half-plane of w* alone") {
    RandomPoints random(53);
    const Vector e1{1, 0, 0};
    for (int trial = 0; trial < 2000; ++trial) {
      const auto in_half_plane = [&] {
        const double theta = random.uniform(1e-3, kPi - 1e-3);
        return filter_at(e1, {0, 1, 0}, theta, random.uniform(0.2, 3));
      };
      const Vector a = in_half_plane(), b = in_half_plane(), u = random.normals(3), t = random.normals(3);
      const auto apart = [](const Vector& x, const Vector& y) { return norm(combine(1, x, -1, y)); };
      for (const auto& [x, y] : {std::pair{a, b}, std::pair{u, t}})
        CHECK(std::abs(angle(x, e1) - angle(y, e1)) <= kPi / (2 * std::min(norm(x), norm(y))) * apart(x, y) + 1e-12);
      CHECK(std::abs(apart(direction_over_length(a, e1), direction_over_length(b, e1)) -
                     apart(a, b) / (norm(a) * norm(b))) < 1e-10);
    }
    const double epsilon = 1e-3;
    const Vector w{1, epsilon, 0}, other{1, 0, epsilon};
    const double left = norm(combine(1, direction_over_length(w, e1), -1, direction_over_length(other, e1)));
    CHECK(std::abs(left - 1.414212) < 1e-6);
    CHECK(std::abs(norm(combine(1, w, -1, other)) / dot(w, w) - 0.001414) < 1e-6);
  }

  TEST_CASE("paper-ste 8.24: Theorem 1: the second layer is bounded by the loss") {
    RandomPoints random(61);
    double worst = 0;
    for (int trial = 0; trial < 2000; ++trial) {
      const int m = random.integer(1, 6);
      const TwoLayer model(random.normals(m), {1, 0});
      const Vector v = random.normals(m, std::pow(10, random.uniform(-1, 1)));
      const double loss = model.loss_at(v, random.uniform(0, kPi));
      worst = std::max(worst, norm(v) / (std::sqrt(8 * loss) + norm(model.v_star())));
    }
    MESSAGE("largest |v| / (sqrt(8 f) + |v*|): " << worst);
    CHECK(worst <= 1);
    CHECK(worst > 0.8);
  }

  TEST_CASE("paper-ste 8.24: Theorem 1: safe steps from the golden point") {
    struct Row {
      const char* name;
      double first_eta, loss[3], promised[3];
    };
    const Row rows[] = {{"relu",
                         0.0500504509149269,
                         {0.913163711457, 0.728976757415, 0.407354367627},
                         {0.015003314220, 0.108041412120, 0.268987314844}},
                        {"clipped_relu",
                         0.202924538985574,
                         {0.829143116760, 0.404271596688, 0},
                         {0.060329456373, 0.281320829919, 0.485879580358}}};
    const TwoLayer& model = golden_model();
    const double start = model.loss(kGoldenPoint.v, kGoldenPoint.w);
    const double most = std::sqrt(8 * start) + norm(model.v_star());
    CHECK(std::abs(most - 3.891941429739) < 1e-10);
    for (const Row& row : rows) {
      CAPTURE(row.name);
      const Ste s = ste(row.name);
      Point p = kGoldenPoint;
      double before = start, promised = 0;
      for (int step = 1; step <= 400; ++step) {
        const double eta = model.safe_step(s, p.v, p.w);
        if (step == 1) CHECK(std::abs(eta - row.first_eta) < 1e-12);
        const Vector grad_v = model.grad_v(p.v, p.w);
        promised += 0.5 * eta * (dot(grad_v, grad_v) + model.correlation(s, p.v, p.w));
        const Vector g = model.coarse_gradient(s, p.v, p.w);
        p = {combine(1, p.v, -eta, grad_v), combine(1, p.w, -eta, g)};
        const double loss = model.loss(p.v, p.w);
        CHECK_UNARY(loss < before + 1e-12);
        CHECK_UNARY(promised <= start - loss + 1e-12);
        CHECK_UNARY(norm(p.v) <= most);
        before = loss;
        for (const int at : {0, 1, 2}) {
          if (step != (at == 0 ? 1 : at == 1 ? 10 : 400)) continue;
          CHECK(std::abs(loss - row.loss[at]) < (row.loss[at] > 0 ? 1e-10 : 1e-11));
          CHECK(std::abs(promised - row.promised[at]) < 1e-10);
        }
      }
    }
  }

  TEST_CASE("paper-ste 8.24: starts on the line of w* stay there, v runs through a quadratic programme") {
    struct Row {
      double sign, loss;
      Vector v;
      double along[2];
    };
    const Row rows[] = {
        {1, 0.013047579204, {0.904261072898, 0.083196943724, -0.240418281233}, {1.423794506755, 1.331070677971}},
        {-1, 0.090933875642, {-0.293614085907, -0.041062990123, 0.708937009877}, {-1.306403191270, -1.301665055760}}};
    const TwoLayer& model = golden_model();
    const Vector v0{.5, -.5, .25};
    for (const Row& row : rows)
      for (const int k : {0, 1}) {
        const Vector w0 = combine(1.3 * row.sign, model.w_star(), 0, model.w_star());
        const Descent run = population_descent(model, paper_stes()[static_cast<std::size_t>(k + 1)], {v0, w0},
                                               {.eta = 0.05, .steps = 100});
        const double along = dot(run.point.w, model.w_star());
        CHECK(norm(combine(1, run.point.w, -along, model.w_star())) < 1e-12);
        CHECK(std::abs(along - row.along[k]) < 1e-10);
        CHECK(distance(run.point.v, row.v) < 1e-10);
        CHECK(std::abs(run.last.loss - row.loss) < 1e-10);
        // (I - eta/4 (I + 11'))^100 (v0 - v_end): eta (m + 1) / 4 along 1, eta / 4 across it.
        const Vector end = model.best_v(row.sign > 0 ? 0 : kPi), off = combine(1, v0, -1, end);
        const double mean = (off[0] + off[1] + off[2]) / 3;
        for (std::size_t i = 0; i < 3; ++i) {
          const double expected =
              end[i] + mean * std::pow(1 - 0.05, 100) + (off[i] - mean) * std::pow(1 - 0.05 / 4, 100);
          CHECK(std::abs(run.point.v[i] - expected) < 1e-12);
        }
      }
  }

  TEST_CASE("paper-ste 8.24: Remark 2: for rows uniform on a sphere coarse gradients of identity and ReLU are scaled") {
    const TwoLayer model({1, .25, -.5}, {1, 0, 0});
    const Vector v{.5, -1, 2}, w{1.3 * 0.5, 1.3 * 0.8, -1.3 * 0.2};
    constexpr double kScale = 1.085402;  // E|z_1| / 2 sqrt(2 pi) for z uniform on the sphere of radius sqrt(3)
    CHECK(std::abs(kScale - std::sqrt(3.0) / 4 * kSqrt2Pi) < 1e-6);
    RandomPoints random(62);
    Mean loss, grad_v[3], g[2][3];
    for (int sample = 0; sample < 200000; ++sample) {
      Vector rows[3];
      double residual = 0;
      bool on[3];
      for (std::size_t i = 0; i < 3; ++i) {
        rows[i] = random.normals(3);
        rows[i] = combine(std::sqrt(3.0) / norm(rows[i]), rows[i], 0, rows[i]);
        on[i] = dot(rows[i], w) > 0;
        residual += (on[i] ? v[i] : 0) - (rows[i][0] > 0 ? model.v_star()[i] : 0);
      }
      loss.add(residual * residual / 2);
      Vector identity(3), relu(3);
      for (std::size_t i = 0; i < 3; ++i) {
        grad_v[i].add(on[i] ? residual : 0);
        identity = combine(1, identity, v[i] * residual, rows[i]);
        if (on[i]) relu = combine(1, relu, v[i] * residual, rows[i]);
      }
      for (std::size_t j = 0; j < 3; ++j) {
        g[0][j].add(identity[j]);
        g[1][j].add(relu[j]);
      }
    }
    CHECK(loss.sigmas(model.loss(v, w)) < 5);
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(grad_v[j].sigmas(model.grad_v(v, w)[j]) < 5);
      for (const std::size_t k : {0, 1})
        CHECK(g[k][j].sigmas(kScale * model.coarse_gradient(paper_stes()[k], v, w)[j]) < 5);
    }
    CHECK(g[0][0].sigmas(model.coarse_gradient(ste("identity"), v, w)[0]) > 5);  // unscaled
  }
}
