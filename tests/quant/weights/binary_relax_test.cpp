// What the paper on BinaryRelax says about its relaxation, its projections and their schedule, in double. The
// toy regression is tested where it lives, in tests/experiments/regression_test.cpp.
#include "quant/weights/binary_relax.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <set>

#include "core/deferred.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/math/lloyd.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/lloyd.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"
#include "quant/weights/sign.h"
#include "tests/support/brute_force.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

using Vector = std::vector<double>;

struct Alphabet {
  const char* projection;
  int bits;
};
constexpr Alphabet kAlphabets[] = {{"binary", 1}, {"ternary", 2}, {"exact", 3}};

Vector values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }
Tensor tensor(const Vector& v) { return Tensor({static_cast<std::int64_t>(v.size())}, v); }

Vector normals(std::size_t n, std::uint64_t seed) {
  Vector v(n);
  Rng(seed).normal(v.data(), n);
  return v;
}

Tensor projected(const Alphabet& a, const Tensor& w) {
  return quant::weight_projection(quant::weight_projections().part(a.projection).with("bits", a.bits))->project(w);
}

double distance(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}
double residual(const Alphabet& a, const Vector& w) { return distance(w, values(projected(a, tensor(w)))); }

// X for weights w, at this lambda from the first epoch on.
Tensor relaxed(const Alphabet& a, const Tensor& w, double lambda) {
  const auto projection = quant::weight_projection(quant::weight_projections().part(a.projection).with("bits", a.bits));
  return quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = lambda, .growth = 1, .hard_from = 1}})
      ->effective(*projection, w);
}

// 1/2 |z - y|^2 + lambda/2 dist(z, Q)^2.
double envelope(const Alphabet& a, const Vector& z, const Vector& y, double lambda) {
  return distance(z, y) / 2 + lambda / 2 * residual(a, z);
}

void check_close(const Tensor& given, const Vector& expected, double tolerance) {
  REQUIRE(given.numel() == static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(std::abs(given[static_cast<std::int64_t>(i)] - expected[i]) <= tolerance);
}

struct Lloyd {
  double delta, residual;
};
Lloyd one_step(const Vector& w, double delta, int levels) {
  std::vector<std::int8_t> codes(w.size());
  const double next = lloyd<double>(w, delta, 1, levels, codes.data());
  Vector x;
  for (const int q : codes) x.push_back(next * q);
  return {next, distance(w, x)};
}

// The published ternary routine: the sum over the non-zeros divided by the number of all weights.
double flawed_residual(const Vector& w) {
  const double limit = 0.7 * magnitude<double>(w).sum / static_cast<double>(w.size());
  double delta = 0;
  for (const double x : w) delta += std::abs(x) >= limit ? std::abs(x) / static_cast<double>(w.size()) : 0;
  double sum = 0;
  for (const double x : w) sum += std::pow(std::abs(x) - (std::abs(x) >= limit ? delta : 0), 2);
  return sum;
}

// LeNet-5 whose weights are quantized this way, in phase II from the first step on.
struct PhaseTwo {
  explicit PhaseTwo(const Alphabet& a)
      : rule(*net, quant::weight_projections().part(a.projection).with("bits", a.bits),
             Part{"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 1, .hard_from = 0}}),
        sgd(net->parameters(), {.lr = 0.05}),
        optimizer(sgd, *net, {.weights = &rule}, {10, 1}) {}

  /// Calls `see` before the weights move.
  void step(const std::function<void()>& see) {
    optimizer.zero_grad();
    cross_entropy((*net)(images), Tensor::of<std::int32_t>({4}, {0, 1, 2, 3})).backward();
    see();
    optimizer.step();
  }

  std::unique_ptr<nn::Module> net = nn::lenet5(nn::relu_activation(), Rng(1));
  quant::WeightRule rule;
  optim::Sgd sgd;
  quant::QuantizedOptimizer optimizer;
  Tensor images = nn::uniform({4, 28, 28, 1}, 1, Rng(2));
};

const Vector kGolden{0.9, -0.35, 0.12, -0.05, 0.02, 0.6, -0.2, 0.01};

}  // namespace

TEST_SUITE("paper-binary-relax") {
  TEST_CASE("paper-binary-relax 8: golden vector, projections of 1 to 4 bits and their relaxations") {
    const Tensor w = tensor(kGolden);
    const auto scale = [&](const Alphabet& a) { return projected(a, w).coded()->scales()[0]; };
    CHECK(std::abs(scale({"binary", 1}) - 0.28125) <= 1e-12);
    check_close(relaxed({"binary", 1}, w, 1),
                {.590625, -.315625, .200625, -.165625, .150625, .440625, -.240625, .145625}, 1e-12);
    CHECK(std::abs(scale({"ternary", 2}) - 0.6166667) <= 1e-7);
    check_close(relaxed({"ternary", 2}, w, 1), {.7583333, -.4833333, .06, -.025, .01, .6083333, -.1, .005}, 1e-7);
    check_close(relaxed({"ternary", 2}, w, 3), {.6875, -.55, .03, -.0125, .005, .6125, -.05, .0025}, 1e-7);
    CHECK(std::abs(scale({"exact", 3}) - 0.2966667) <= 1e-7);
    CHECK(std::abs(residual({"exact", 3}, kGolden) - 0.0297333) <= 1e-7);
    CHECK(std::abs(scale({"exact", 4}) - 0.1235227) <= 1e-7);
    CHECK(std::abs(residual({"exact", 4}, kGolden) - 0.00720795) <= 1e-8);
    const int codes[2][8] = {{3, -1, 0, 0, 0, 2, -1, 0}, {7, -3, 1, 0, 0, 5, -2, 0}};
    for (int i = 0; i < 8; ++i) {
      CHECK(projected({"exact", 3}, w).coded()->signed_codes()[i] == codes[0][i]);
      CHECK(projected({"exact", 4}, w).coded()->signed_codes()[i] == codes[1][i]);
      CHECK(projected({"lloyd", 4}, w).coded()->signed_codes()[i] == codes[1][i]);
    }
  }

  TEST_CASE("paper-binary-relax 9.1: X minimises the envelope, whose value it is, among random competitors") {
    Rng rng(1);
    for (const Alphabet& a : kAlphabets)
      for (std::uint64_t i = 0; i < 40; ++i) {
        const Vector y = normals(1 + rng.below(16), 100 + i);
        const double lambda = std::pow(10, 3 * rng.uniform() - 1);
        const Vector x = values(relaxed(a, tensor(y), lambda));
        const double value = envelope(a, x, y, lambda);
        CHECK(std::abs(value - lambda / (2 * (1 + lambda)) * residual(a, y)) <= 1e-12 * (1 + lambda));
        for (std::uint64_t k = 0; k < 100; ++k) {
          Vector z = normals(y.size(), 1000 * i + k);
          const double far = std::pow(10, -3 * rng.uniform());
          for (std::size_t j = 0; j < z.size(); ++j) z[j] = x[j] + far * z[j];
          CHECK(envelope(a, z, y, lambda) >= value - 1e-12 * (1 + lambda));
        }
      }
  }

  TEST_CASE("paper-binary-relax 9.2: X has the projection of W, at every lambda") {
    for (const Alphabet& a : kAlphabets)
      for (const std::size_t n : {3u, 100u, 5000u})
        for (const double lambda : {0.0, 0.1, 1.0, 30.0, 1e4}) {
          const Tensor w = tensor(normals(n, n));
          const Tensor of_w = projected(a, w), of_x = projected(a, relaxed(a, w, lambda));
          const Coded &p = *of_w.coded(), &q = *of_x.coded();
          CHECK(std::equal(p.signed_codes(), p.signed_codes() + n, q.signed_codes()));
          CHECK(std::abs(p.scales()[0] - q.scales()[0]) <= 1e-12 * p.scales()[0]);
        }
  }

  TEST_CASE("paper-binary-relax 9.3: lambda 0 is the float weight, 1e12 the projection") {
    for (const Alphabet& a : kAlphabets) {
      const Tensor w = tensor(normals(1000, 3));
      CHECK(values(relaxed(a, w, 0)) == values(w));
      const Vector x = values(relaxed(a, w, 1e12)), p = values(projected(a, w));
      CHECK(std::sqrt(distance(x, p) / squared_norm(p)) <= 1e-11);
      CHECK(std::sqrt(distance(values(relaxed(a, w, 1e6)), p) / squared_norm(p)) > 1e-11);
    }
  }

  TEST_CASE("paper-binary-relax 9.4: ternary and 3-bit projections are those of brute force") {
    for (std::uint64_t i = 0; i < 6; ++i)
      for (const std::size_t n : {1u, 5u, 9u, 12u}) {
        if (n == 12 && i > 1) continue;  // half a million supports with signs
        const Vector w = normals(n, 50 + i);
        CHECK(std::abs(residual({"ternary", 2}, w) - brute_force(w, {-1, 0, 1})) <= 1e-12 * squared_norm(w));
      }
    for (std::uint64_t i = 0; i < 20; ++i) {
      const Vector w = normals(5, 80 + i);
      const double best = brute_force(w, {-3, -2, -1, 0, 1, 2, 3});
      CHECK(std::abs(residual({"exact", 3}, w) - best) <= 1e-12 * squared_norm(w));
      CHECK(residual({"ternary", 2}, w) > best + 1e-12 * squared_norm(w));
    }
  }

  TEST_CASE("paper-binary-relax 9.5: Lloyd's error never grows, ends within 0.1 % of the exact one") {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const Vector w = normals(3000, seed);
      const Magnitude<double> m = magnitude<double>(w);
      const double mean = m.sum / 3000;
      for (const int bits : {2, 3, 4}) {
        const int levels = highest_weight_level(bits);
        const double exact = residual({"exact", bits}, w);
        double first = 0;
        for (const double start : {m.max / levels, 2 * mean / levels, mean}) {
          Lloyd at{start, HUGE_VAL};
          for (int step = 0; step < 100; ++step) {
            const Lloyd next = one_step(w, at.delta, levels);
            CHECK(next.residual <= at.residual * (1 + 1e-14));
            CHECK(next.residual >= exact * (1 - 1e-12));
            if (step == 0) first = std::max(first, next.residual);
            at = next;
          }
          CHECK(at.residual <= 1.001 * exact);
        }
        CHECK(first > 1.001 * exact);
      }
    }
  }

  TEST_CASE("paper-binary-relax 9.6: relative errors of 400000 Gaussian weights, which reveal the 1/N scale") {
    const Vector w = normals(400000, 6);
    const double all = squared_norm(w), ternary = residual({"ternary", 2}, w) / all;
    CHECK(std::abs(residual({"binary", 1}, w) / all - 0.3634) <= 0.002);
    CHECK(std::abs(ternary - 0.1900) <= 0.001);
    CHECK(std::abs(residual({"twn", 2}, w) / all - 0.1914) <= 0.001);
    CHECK(std::abs(flawed_residual(w) / all - 0.337) <= 0.002);
    const Tensor p = projected({"ternary", 2}, tensor(w));
    double non_zero = 0;
    for (const double x : p.view()) non_zero += x != 0;
    CHECK(std::abs(p.coded()->scales()[0] - 1.2240) <= 0.005);
    CHECK(std::abs(non_zero / 400000 - 0.541) <= 0.005);
  }

  TEST_CASE("paper-binary-relax 9.7: lambda in epoch e is 1.04^(e + 1), 358.9 at the end of phase I") {
    const auto relax =
        quant::relaxation({"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 1.04, .hard_from = 150.0 / 200}});
    for (int epoch = 0; epoch < 150; ++epoch)
      for (const double within : {0.0, 0.5, 0.999}) {
        relax->advance({epoch + within, 200});
        CHECK(relax->strength() == doctest::Approx(std::pow(1.04, epoch + 1)).epsilon(1e-12));
      }
    CHECK(std::abs(relax->strength() / 358.9227 - 1) <= 1e-5);
    for (const double epoch : {150.0, 150.5, 199.0}) {
      relax->advance({epoch, 200});
      CHECK(std::isinf(relax->strength()));
    }
    const auto half = quant::relaxation(
        {"relax", quant::BinaryRelaxOptions{.lambda = 1, .growth = 1.02, .every = 0.5, .hard_from = 1}});
    half->advance({149.5, 200});
    CHECK(half->strength() == doctest::Approx(380.2).epsilon(1e-3));
  }

  TEST_CASE("paper-binary-relax 9.8: phase II computes with 2, 3 or 2 L + 1 values and moves the float weights") {
    for (const Alphabet& a : kAlphabets) {
      PhaseTwo phase(a);
      for (int i = 0; i < 3; ++i) {
        std::vector<Tensor> before, used;
        phase.step([&] {
          for (const auto& entry : phase.rule.weights()) {
            before.push_back(entry.weight->value);
            used.push_back(entry.weight->effective);
          }
        });
        std::size_t layer = 0;
        for (const auto& entry : phase.rule.weights()) {
          const Tensor& w = before[layer];
          const Vector x = values(used[layer++]);
          CHECK(std::set<double>(x.begin(), x.end()).size() <=
                static_cast<std::size_t>(a.bits == 1 ? 2 : 2 * highest_weight_level(a.bits) + 1));
          CHECK(x == values(projected(a, w)));
          CHECK(values(entry.weight->value) != values(w));
          Vector moved = values(w);
          for (std::size_t k = 0; k < moved.size(); ++k) moved[k] -= 0.05 * entry.weight->grad().view()[k];
          CHECK(values(entry.weight->value) == moved);
        }
      }
    }
  }
}

TEST_SUITE("quant") {
  TEST_CASE("warm Lloyd: weights that move a little stay near the exact projection at one step each") {
    const Vector drift = normals(3000, 12);
    for (const int bits : {2, 3, 4}) {
      Vector w = normals(3000, 11);
      const auto warm = quant::weight_projection({"warm_lloyd", quant::LloydOptions{.bits = bits}});
      const auto cold = quant::weight_projection({"lloyd", quant::LloydOptions{.bits = bits}});
      warm->begin(tensor(w));
      double worst = 0, worst_cold = 0;
      for (int step = 0; step < 100; ++step) {
        for (std::size_t i = 0; i < w.size(); ++i) w[i] += 0.01 * drift[i];
        const double exact = residual({"exact", bits}, w);
        worst = std::max(worst, distance(w, values(warm->project(tensor(w)))) / exact);
        worst_cold = std::max(worst_cold, distance(w, values(cold->project(tensor(w)))) / exact);
      }
      CAPTURE(bits);
      CHECK(worst <= 1.05);
      CHECK(worst_cold > 1.1);
    }
  }

  TEST_CASE("warm Lloyd: more steps reach the fixed point sooner, which then stays") {
    const Tensor w = tensor(normals(3000, 13));
    const auto steps_to_rest = [&](int each) {
      const auto warm = quant::weight_projection({"warm_lloyd", quant::LloydOptions{.bits = 4, .steps = each}});
      warm->load_state_dict({{"delta", Tensor({1}, 1.0)}});
      double before = 0;
      for (int calls = 1;; ++calls) {
        const double delta = warm->project(w).coded()->scales()[0];
        if (delta == before) return calls;
        before = delta;
      }
    };
    const int one = steps_to_rest(1), four = steps_to_rest(4);
    CHECK(one > 20);
    CHECK(four <= one / 4 + 2);
  }

  TEST_CASE("warm Lloyd: a delta for each channel, saved and loaded; zeros and shrunken weights start again") {
    const Vector v = normals(4 * 200, 14);
    const Tensor w({4, 200}, v);
    const auto warm = quant::weight_projection({"warm_lloyd", quant::LloydOptions{.bits = 3, .per_channel = true}});
    warm->begin(w);
    const nn::StateDict fresh = warm->state_dict();
    REQUIRE(fresh.size() == 1);
    CHECK(fresh[0].first == "delta");
    CHECK(values(fresh[0].second) == Vector(4));
    const Tensor p = warm->project(w);
    const nn::StateDict state = warm->state_dict();
    for (std::int64_t c = 0; c < 4; ++c) {
      CHECK(state[0].second[c] == p.coded()->scales()[static_cast<std::size_t>(c)]);
      const Vector channel(v.begin() + 200 * c, v.begin() + 200 * (c + 1));
      std::vector<std::int8_t> codes(200);
      CHECK(lloyd_cold<double>(channel, 3, codes.data()) == state[0].second[c]);
      CHECK(std::equal(codes.begin(), codes.end(), p.coded()->signed_codes() + 200 * c));
    }
    const auto other = quant::weight_projection({"warm_lloyd", quant::LloydOptions{.bits = 3, .per_channel = true}});
    other->begin(w);
    other->load_state_dict(state);
    Vector moved = v;
    for (double& x : moved) x *= 1.3;
    const Tensor next({4, 200}, moved);
    CHECK(values(other->project(next)) == values(warm->project(next)));

    for (double& x : moved) x *= 1e-6;
    const Tensor small = warm->project(Tensor({4, 200}, moved));
    for (std::int64_t c = 0; c < 4; ++c) {
      CHECK(small.coded()->scales()[static_cast<std::size_t>(c)] > 0);
      CHECK(warm->state_dict()[0].second[c] < 1e-5);
    }
    for (const double x : warm->project(Tensor({4, 200})).view()) CHECK(x == 0);
    CHECK(values(warm->project(w)) == values(p));
  }

  TEST_CASE("cold Lloyd takes the best of its three starts, within 1 % of the exact projection or better") {
    for (std::uint64_t seed = 0; seed < 5; ++seed)
      for (const int bits : {2, 3, 4}) {
        Vector w = normals(3000, 20 + seed);
        for (double& x : w) x = std::copysign(x * x, x);  // heavier tails than a Gaussian's
        std::vector<std::int8_t> codes(w.size());
        const int levels = highest_weight_level(bits);
        const double delta = lloyd_cold<double>(w, levels, codes.data());
        Vector x;
        for (const int q : codes) x.push_back(delta * q);
        CHECK(distance(w, x) <= 1.01 * residual({"exact", bits}, w));
        for (const double start : {magnitude<double>(w).max / levels, 1.0, 0.1}) {
          const double other = lloyd<double>(w, start, 100, levels, codes.data());
          Vector y;
          for (const int q : codes) y.push_back(other * q);
          if (start == magnitude<double>(w).max / levels) CHECK(distance(w, x) <= distance(w, y) * (1 + 1e-12));
        }
      }
  }

  TEST_CASE("twn: zero where |w| <= 0.7 mean |w|, the mean of the others elsewhere") {
    const Tensor w({5}, {1, -0.7, 0.3, 2, -1});  // mean 1
    const Tensor p = projected({"twn", 2}, w);
    CHECK(values(p) == Vector{4.0 / 3, 0, 0, 4.0 / 3, -4.0 / 3});
    const Tensor random = tensor(normals(1001, 15));
    const double limit = 0.7 * magnitude<double>(random.view()).sum / 1001;
    double sum = 0, count = 0;
    for (const double x : random.view())
      if (std::abs(x) > limit) sum += std::abs(x), ++count;
    const Tensor q = projected({"twn", 2}, random);
    for (std::int64_t i = 0; i < 1001; ++i)
      CHECK(q[i] == doctest::Approx(std::abs(random[i]) > limit ? std::copysign(sum / count, random[i]) : 0));
  }

  TEST_CASE("xnor: alpha is the mean |w| of each channel, and the gradient that of its paper") {
    const Tensor w({2, 4}, {0.5, -2, 1, -0.5, 4, -0.25, 0, 0.75});  // means 1 and 1.25
    const auto xnor = quant::weight_projection({"xnor"});
    CHECK(values(xnor->project(w)) == Vector{1, -1, 1, -1, 1.25, -1.25, 1.25, 1.25});
    const Tensor g = xnor->gradient(w, Tensor({2, 4}, {1, 1, 1, 2, 1, 1, 1, 1})).weight;
    check_close(g, {1.25, 0.25, 1.25, 2.5, 0.25, 1.5, 1.5, 1.5}, 1e-15);
    CHECK(values(quant::weight_projection({"sign"})->project(w)) == Vector{1, -1, 1, -1, 1, -1, 1, 1});
    CHECK(values(quant::weight_projection({"sign", quant::SignOptions{.sign_of_zero = 0}})->project(w))[6] == 0);
  }
}
