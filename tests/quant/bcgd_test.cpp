// Blended coarse gradient descent: what the paper's analysis promises of it, run by the rule and the
// optimizer that train networks, in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "nn/layers.h"
#include "optim/sgd.h"
#include "quant/quantized_optimizer.h"
#include "quant/theory/two_layer.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using test::RandomPoints, test::distance, test::combine, theory::dot, theory::norm;
using Vector = theory::Vector;

namespace {

struct Projection {
  const char* name;
  int bits;
};
constexpr Projection kExact[] = {{"binary", 1}, {"ternary", 2}, {"exact", 4}};

// One weight vector under the rule: f is whatever the caller takes gradients of.
class Run {
 public:
  struct Options {
    Projection projection{"binary", 1};
    double rho = 0, eta = 0.1, momentum = 0, decay = 0;
  };
  Run(const Vector& start, const Options& o)
      : layer_(static_cast<std::int64_t>(start.size()), 1, Rng(1), false),
        rule_(layer_, quant::weight_projections().part(o.projection.name).with("bits", o.projection.bits),
              Part{"blend", quant::BlendOptions{.rho = o.rho}}),
        sgd_({&layer_.weight}, {.lr = o.eta, .momentum = o.momentum, .weight_decay = o.decay}),
        optimizer_(sgd_, layer_, {.weights = &rule_}, {1, 1}) {
    layer_.weight.value = row(start);
    optimizer_.zero_grad();
  }

  /// The projected weights, and the float copy.
  Vector w() const { return vector(layer_.weight.effective); }
  Vector w_float() const { return vector(layer_.weight.value); }
  void step(const Vector& gradient) {
    layer_.weight.set_grad(row(gradient));
    optimizer_.step();
    optimizer_.zero_grad();
  }

 private:
  static Tensor row(const Vector& v) { return {{1, static_cast<std::int64_t>(v.size())}, v}; }
  static Vector vector(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

  nn::Linear layer_;
  quant::WeightRule rule_;
  optim::Sgd sgd_;
  quant::QuantizedOptimizer optimizer_;
};

// f = w'Hw / 2 - b'w.
struct Quadratic {
  std::vector<Vector> h;
  Vector b;

  Vector gradient(const Vector& w) const {
    Vector g;
    for (std::size_t i = 0; i < b.size(); ++i) g.push_back(dot(h[i], w) - b[i]);
    return g;
  }
  double operator()(const Vector& w) const {
    double f = 0;
    for (std::size_t i = 0; i < b.size(); ++i) f += w[i] * (0.5 * dot(h[i], w) - b[i]);
    return f;
  }
  /// The largest eigenvalue of H, from above by less than 1e-9 of it.
  double lipschitz() const {
    Vector v(b.size(), 1);
    double length = 0;
    for (int i = 0; i < 4000; ++i) {
      Vector next;
      for (const Vector& row : h) next.push_back(dot(row, v));
      length = norm(next);
      v = combine(1 / length, next, 0, next);
    }
    return length * (1 + 1e-9);
  }
};

// H = A'A / 20 with a Gaussian A of 20 x n, b Gaussian.
Quadratic random_quadratic(RandomPoints& random, int n) {
  std::vector<Vector> a;
  for (int i = 0; i < 20; ++i) a.push_back(random.normals(n));
  Quadratic q{std::vector<Vector>(static_cast<std::size_t>(n), Vector(static_cast<std::size_t>(n))), random.normals(n)};
  for (const Vector& row : a)
    for (std::size_t i = 0; i < row.size(); ++i)
      for (std::size_t j = 0; j < row.size(); ++j) q.h[i][j] += row[i] * row[j] / 20;
  return q;
}

const Quadratic kGolden{{{2, .5, 0, 0}, {.5, 1.5, .3, 0}, {0, .3, 1, .2}, {0, 0, .2, .8}}, {1, -2, .5, .25}};
const Vector kGoldenStart{.3, .4, -.2, .1};

// What one step did: f before and after, <g, d> and |d|^2 with d = w(t+1) - w(t).
struct Move {
  double before, after, along, squared;
};
Move move(Run& run, const Quadratic& f) {
  const Vector w = run.w(), g = f.gradient(w);
  run.step(g);
  const Vector d = combine(1, run.w(), -1, w);
  return {f(w), f(run.w()), dot(g, d), dot(d, d)};
}

}  // namespace

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.8: sufficient descent at every step of exact projections") {
    RandomPoints random(3);
    int moved = 0;
    for (const Projection& projection : kExact)
      for (const double rho : {1e-3, .05, .5, 1.})
        for (int repeat = 0; repeat < 6; ++repeat) {
          const Quadratic f = random_quadratic(random, 12);
          const double l = f.lipschitz(), eta = 0.9 * rho / l;
          Run run(random.normals(12), {.projection = projection, .rho = rho, .eta = eta});
          for (int t = 0; t < 150; ++t) {
            const Move m = move(run, f);
            CHECK_UNARY(m.along + rho / (2 * eta) * m.squared <= 1e-9);
            CHECK_UNARY(m.after - m.before + 0.5 * (rho / eta - l) * m.squared <= 1e-9);
            CHECK_UNARY(m.after <= m.before + 1e-12);
            moved += m.squared > 0;
          }
        }
    CHECK(moved > 300);
  }

  TEST_CASE("paper-bcgd 9.8: the descent is lost when the step is too long for the blending") {
    RandomPoints random(4);
    int rises = 0;
    for (int repeat = 0; repeat < 6; ++repeat) {
      const Quadratic f = random_quadratic(random, 12);
      Run run(random.normals(12), {.rho = 1e-3, .eta = 0.05 / f.lipschitz()});
      for (int t = 0; t < 150; ++t) {
        const Move m = move(run, f);
        rises += m.after > m.before + 1e-9;
      }
    }
    CHECK(rises > 0);
  }

  TEST_CASE("paper-bcgd 9.9: without blending steps point downhill, but f is not monotone") {
    RandomPoints random(5);
    int risen = 0;
    for (const Projection& projection : kExact)
      for (int repeat = 0; repeat < 6; ++repeat) {
        const Quadratic f = random_quadratic(random, 12);
        Run run(random.normals(12), {.projection = projection, .eta = 0.05 / f.lipschitz()});
        bool rose = false;
        for (int t = 0; t < 400; ++t) {
          const Move m = move(run, f);
          CHECK_UNARY(m.along <= 1e-9);
          rose = rose || m.after > m.before + 1e-9;
        }
        risen += rose;
      }
    CHECK(risen > 9);
  }

  TEST_CASE("paper-bcgd 9.10: rho = 1 is projected gradient descent, bit for bit") {
    RandomPoints random(6);
    const Quadratic f = random_quadratic(random, 12);
    const double eta = 0.1;
    Run run(random.normals(12), {.projection = kExact[1], .rho = 1, .eta = eta});
    for (int t = 0; t < 50; ++t) {
      const Vector w = run.w(), g = f.gradient(w);
      run.step(g);
      const Vector moved = run.w_float();
      for (std::size_t i = 0; i < w.size(); ++i) CHECK_UNARY(moved[i] == w[i] - eta * g[i]);
    }
  }

  TEST_CASE("paper-bcgd 9.10: the float copy is the unrolled sum of 200 steps") {
    RandomPoints random(7);
    for (const double rho : {0., 1e-3, .05}) {
      const Quadratic f = random_quadratic(random, 12);
      const Vector start = random.normals(12);
      const double eta = 0.02;
      Run run(start, {.projection = kExact[2], .rho = rho, .eta = eta});
      std::vector<Vector> terms;  // rho w - eta g of each step
      for (int t = 0; t < 200; ++t) {
        const Vector w = run.w(), g = f.gradient(w);
        terms.push_back(combine(rho, w, -eta, g));
        run.step(g);
      }
      Vector expected = combine(std::pow(1 - rho, 200), start, 0, start);
      for (int t = 0; t < 200; ++t)
        expected = combine(1, expected, std::pow(1 - rho, 199 - t), terms[static_cast<std::size_t>(t)]);
      CHECK(distance(run.w_float(), expected) <= 1e-12);
    }
  }

  TEST_CASE("paper-bcgd 9.10: converged float copies are w - (eta / rho) g(w)") {
    RandomPoints random(8);
    for (const Projection& projection : kExact) {
      const Quadratic f = random_quadratic(random, 12);
      const double rho = .05, eta = 0.9 * rho / f.lipschitz();
      Run run(random.normals(12), {.projection = projection, .rho = rho, .eta = eta});
      for (int t = 0; t < 20000; ++t) run.step(f.gradient(run.w()));
      const Vector w = run.w();
      CHECK(distance(run.w_float(), combine(1, w, -eta / rho, f.gradient(w))) <= 1e-8);
    }
  }

  TEST_CASE("paper-bcgd 9.11: golden runs: drifting, monotone and stuck") {
    CHECK(kGolden.lipschitz() == doctest::Approx(2.328987609673328).epsilon(1e-8));
    constexpr int kAfter[] = {0, 1, 2, 5, 20, 200};
    struct Golden {
      double rho, eta, f[6];
    };
    const Golden runs[] = {
        {0, .05, {.478125, .397987680664, .328116828437, -.447042773953, -1.48595837461, -.50453199513}},
        {.05, .02, {.478125, .445411153906, .414408168357, .330792785175, -.557599830659, -1.71428650104}},
        {1, .3, {.478125, -.616331933594, -.741986547104, -.831967222005, -.840277741869, -.840277777778}}};
    for (const Golden& golden : runs) {
      Run run(kGoldenStart, {.rho = golden.rho, .eta = golden.eta});
      int step = 0;
      bool monotone = true;
      for (int k = 0; k < 6; ++k) {
        for (; step < kAfter[k]; ++step) {
          const Move m = move(run, kGolden);
          monotone = monotone && m.after <= m.before + 1e-12;
        }
        INFO("rho ", golden.rho, " after ", step, ": ", kGolden(run.w()), ", expected ", golden.f[k]);
        CHECK(std::abs(kGolden(run.w()) - golden.f[k]) <= 1e-9);
      }
      CHECK(monotone == (golden.rho > 0));
    }
  }

  TEST_CASE("paper-bcgd 9.11: the best binary value of the golden function") {
    double best = HUGE_VAL;
    Vector best_signs;
    for (int code = 0; code < 16; ++code) {
      Vector s;
      for (int i = 0; i < 4; ++i) s.push_back(code >> i & 1 ? 1 : -1);
      // f(delta s) = a delta^2 / 2 - c delta is least at delta = c / a, if that is not negative.
      const double c = dot(kGolden.b, s), a = 2 * (kGolden(s) + c), value = c > 0 ? -c * c / (2 * a) : 0;
      if (value < best) {
        best = value;
        best_signs = s;
      }
    }
    CHECK(std::abs(best - -1.714939024390244) <= 1e-12);
    CHECK(best_signs == Vector{1, -1, 1, 1});
  }

  TEST_CASE("paper-bcgd 9.15: two steps with momentum and weight decay, by hand") {
    // w_f = (1, -3): w = (2, -2). u = (1.5, -2.5), d = g + 0.5 u = (1.75, -0.25), w_f = u - 0.5 d =
    // (0.625, -2.375). Then w = (1.5, -1.5), u = (1.0625, -1.9375), d = (0.5, 0) + 0.5 u = (1.03125,
    // -0.96875), buf = 0.5 (1.75, -0.25) + d = (1.90625, -1.09375), w_f = u - 0.5 buf.
    Run run({1, -3}, {.rho = 0.5, .eta = 0.5, .momentum = 0.5, .decay = 0.5});
    CHECK(run.w() == Vector{2, -2});
    run.step({1, 1});
    CHECK(distance(run.w_float(), {0.625, -2.375}) <= 1e-15);
    CHECK(run.w() == Vector{1.5, -1.5});
    run.step({0.5, 0});
    CHECK(distance(run.w_float(), {0.109375, -1.390625}) <= 1e-15);
    CHECK(distance(run.w(), {0.75, -0.75}) <= 1e-15);
  }

  TEST_CASE("paper-bcgd 9.15: without blending, momentum and decay it is BinaryConnect, bit for bit") {
    RandomPoints random(9);
    const Quadratic f = random_quadratic(random, 12);
    Vector w_float = random.normals(12);
    Run run(w_float, {.eta = 0.01});
    for (int t = 0; t < 100; ++t) {
      const Vector w = run.w(), g = f.gradient(w);
      double mean = 0;
      for (const double x : w_float) mean += std::abs(x) / 12;
      for (std::size_t i = 0; i < w.size(); ++i) {
        CHECK_UNARY(std::abs(w[i] - (w_float[i] < 0 ? -mean : mean)) <= 1e-15);
        w_float[i] -= 0.01 * g[i];
      }
      run.step(g);
      CHECK_UNARY(run.w_float() == w_float);
    }
  }
}

namespace {

// The two-layer model with a binary activation and binary w, trained on its population loss with the ReLU's
// coarse gradient; v float. Losses of the last 1000 of 6000 steps.
struct Toy {
  double gap;         // of their mean to the best loss with w = proj(w*)
  double jump_share;  // of steps that change the loss by more than 1e-4
};
Toy toy(bool binary_teacher, double rho, unsigned seed) {
  RandomPoints random(seed);
  Vector teacher = random.normals(16);
  if (binary_teacher)
    for (double& x : teacher) x = x < 0 ? -1 : 1;
  const theory::TwoLayer model({1, .6, -.4, .5}, teacher);
  const double eta = 0.05;
  const Vector nearest = Run(model.w_star(), {}).w();
  Run run(random.normals(16), {.rho = rho, .eta = eta});
  Vector v = random.normals(4);
  constexpr int kSteps = 6000, kLate = 1000;
  Toy result{-model.loss(model.best_v(theory::angle(nearest, model.w_star())), nearest), 0};
  double before = 0;
  for (int t = 0; t < kSteps; ++t) {
    const Vector w = run.w();
    if (t >= kSteps - kLate) {
      const double f = model.loss(v, w);
      result.gap += f / kLate;
      if (t > kSteps - kLate) result.jump_share += (std::abs(f - before) > 1e-4) / (kLate - 1.0);
      before = f;
    }
    const Vector g = model.coarse_gradient(theory::ste("relu"), v, w);
    v = combine(1, v, -eta, model.grad_v(v, w));
    run.step(g);
  }
  return result;
}

struct ToyRuns {
  std::vector<double> gaps;
  double jump_share = 0;
  ToyRuns(bool binary_teacher, double rho) {
    for (unsigned seed = 0; seed < 10; ++seed) {
      const Toy t = toy(binary_teacher, rho, seed);
      gaps.push_back(t.gap);
      jump_share += t.jump_share / 10;
    }
    std::ranges::sort(gaps);
    MESSAGE(std::string(binary_teacher ? "binary" : "float") << " teacher, rho = " << rho << ": median gap " << gaps[5]
                                                             << ", share of late steps with a jump " << jump_share);
  }
  auto below(double gap) const {
    return std::ranges::count_if(gaps, [=](double g) { return g < gap; });
  }
  double median() const { return (gaps[4] + gaps[5]) / 2; }
};

}  // namespace

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.13: a binary teacher is found with and without blending") {
    for (const double rho : {0., 1e-5}) CHECK(ToyRuns(true, rho).below(1e-6) >= 9);
  }

  TEST_CASE("paper-bcgd 9.13: with a float teacher only the blended run settles, too much blending sticks") {
    CHECK(ToyRuns(false, 0).jump_share > 0.5);
    const ToyRuns blended(false, 1e-3);
    CHECK(blended.jump_share < 0.01);
    CHECK(blended.below(1e-3) >= 9);
    CHECK(ToyRuns(false, 0.1).median() > 0.05);
  }
}
