// The projections of weights as mathematics over one group: the properties that the paper lists, in double.
#include "quant/math/uniform_weight.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "tests/support/brute_force.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

using Vector = std::vector<double>;
using Quantizer = std::function<Vector(const Vector&)>;

struct Encoded {
  std::vector<std::int8_t> codes;
  double delta;
  Vector values() const {
    Vector v;
    for (const int q : codes) v.push_back(delta * q);
    return v;
  }
};

template <class T>
Encoded encoded(const std::vector<T>& w, const std::vector<T>& thresholds) {
  Encoded e{std::vector<std::int8_t>(w.size()), 0};
  e.delta = encode_weights<T>(w, thresholds, e.codes.data());
  return e;
}

Encoded binary(const Vector& w) { return encoded(w, binary_thresholds<double>()); }
Encoded exact(const Vector& w, int bits) { return encoded(w, exact_thresholds<double>(w, highest_weight_level(bits))); }
Encoded lloyd_from(const Vector& w, int bits, double delta) {
  return encoded(w, nearest_thresholds<double>(delta, highest_weight_level(bits)));
}
Encoded one_lloyd_step(const Vector& w, int bits) {
  return lloyd_from(w, bits, lloyd_start(magnitude<double>(w).max, bits));
}
Encoded seven_tenths(const Vector& w) {
  return encoded(w, {0.7 * magnitude<double>(w).sum / static_cast<double>(w.size())});
}

double residual(const Vector& w, const Vector& values) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) sum += (w[i] - values[i]) * (w[i] - values[i]);
  return sum;
}
double residual(const Vector& w, const Encoded& e) { return residual(w, e.values()); }

// |w|^2 - A^2 / B: what the sweep says that the projection leaves.
double reported_residual(const Vector& w, const Encoded& e) {
  double a = 0, b = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    a += std::abs(w[i]) * std::abs(static_cast<double>(e.codes[i]));
    b += static_cast<double>(e.codes[i]) * e.codes[i];
  }
  return b > 0 ? squared_norm(w) - a * a / b : squared_norm(w);
}

// The smallest residual over 20001 values of delta with the nearest codes of each.
double grid_search(const Vector& w, int levels) {
  const double most = 2 * magnitude<double>(w).max;
  double gain = 0;
  for (int g = 0; g <= 20000; ++g) {
    const double delta = 1e-3 + (most - 1e-3) * g / 20000;
    double a = 0, b = 0;
    for (const double x : w) {
      const double q = std::min<double>(levels, std::floor(std::abs(x) / delta + 0.5));
      a += std::abs(x) * q;
      b += q * q;
    }
    if (b > 0) gain = std::max(gain, a * a / b);
  }
  return squared_norm(w) - gain;
}

Vector normals(std::size_t n, std::uint64_t seed) {
  Vector w(n);
  Rng(seed).normal(w.data(), n, 0.0, 1.0);
  return w;
}

void check_close(const Vector& given, const Vector& expected, double tolerance) {
  REQUIRE(given.size() == expected.size());
  for (std::size_t i = 0; i < given.size(); ++i) CHECK(std::abs(given[i] - expected[i]) <= tolerance);
}

const Vector kGolden{.5, -1, 2, .1, -.05};

}  // namespace

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.4: golden projections of five weights") {
    check_close(binary(kGolden).values(), {.73, -.73, .73, .73, -.73}, 1e-12);
    check_close(exact(kGolden, 2).values(), {0, -1.5, 1.5, 0, 0}, 1e-12);
    check_close(seven_tenths(kGolden).values(), {0, -1.5, 1.5, 0, 0}, 1e-12);
    check_close(one_lloyd_step(kGolden, 4).values(), {0.550724637681159, -1.10144927536232, 1.92753623188406, 0, 0},
                1e-12);
    CHECK(std::abs(residual(kGolden, exact(kGolden, 4)) - 0.0125) <= 1e-12);
  }

  TEST_CASE("paper-bcgd 9.5: binary and ternary projections are those of brute force") {
    Rng rng(21);
    for (int i = 0; i < 80; ++i) {
      const Vector w = normals(2 + rng.below(6), 100 + static_cast<std::uint64_t>(i));
      CHECK(std::abs(residual(w, binary(w)) - brute_force(w, {-1, 1})) <= 1e-10);
      CHECK(std::abs(residual(w, exact(w, 2)) - brute_force(w, {-1, 0, 1})) <= 1e-10);
    }
  }

  TEST_CASE("paper-bcgd 9.5: brute force tells the exact ternary projection from the 0.7 rule") {
    int worse = 0;
    for (std::uint64_t i = 0; i < 80; ++i) {
      const Vector w = normals(7, i);
      worse += residual(w, seven_tenths(w)) > brute_force(w, {-1, 0, 1}) + 1e-10;
    }
    CHECK(worse > 10);
  }

  TEST_CASE("paper-bcgd 9.5: the sweep is never above a search over delta, and reports its residual") {
    for (std::uint64_t i = 0; i < 40; ++i)
      for (const int bits : {2, 3, 4, 5}) {
        const Vector w = normals(20, 500 + i);
        const Encoded e = exact(w, bits);
        CHECK(residual(w, e) <= grid_search(w, highest_weight_level(bits)) + 1e-9);
        CHECK(std::abs(residual(w, e) - reported_residual(w, e)) <= 1e-9);
      }
  }

  TEST_CASE("paper-bcgd 9.6: Lloyd's residuals do not increase and stay above the exact one") {
    for (std::uint64_t i = 0; i < 40; ++i)
      for (const int bits : {2, 3, 4}) {
        const Vector w = normals(20, 900 + i);
        double delta = lloyd_start(magnitude<double>(w).max, bits), before = HUGE_VAL;
        for (int step = 0; step < 30; ++step) {
          const Encoded e = lloyd_from(w, bits, delta);
          CHECK(residual(w, e) <= before + 1e-12);
          before = residual(w, e);
          delta = e.delta;
        }
        CHECK(before >= residual(w, exact(w, bits)) - 1e-9);
      }
  }

  TEST_CASE("paper-bcgd 9.6: all quantizers are positively homogeneous") {
    const Quantizer quantizers[] = {
        [](const Vector& w) { return binary(w).values(); },
        [](const Vector& w) { return exact(w, 2).values(); },
        [](const Vector& w) { return exact(w, 4).values(); },
        [](const Vector& w) { return seven_tenths(w).values(); },
        [](const Vector& w) { return one_lloyd_step(w, 4).values(); },
    };
    const Vector w = normals(20000, 3);
    for (const Quantizer& quantize : quantizers)
      for (const double factor : {3.7, 1e-3, 1e9}) {
        Vector scaled = w, expected = quantize(w);
        for (double& x : scaled) x *= factor;
        for (double& x : expected) x *= factor;
        check_close(quantize(scaled), expected, 1e-9 * factor);
      }
  }

  TEST_CASE("paper-bcgd 9.6: binary and ternary projections are idempotent") {
    for (const std::size_t n : {1u, 5u, 1000u, 20000u}) {
      const Vector once = binary(normals(n, n)).values(), thrice = exact(normals(n, n), 2).values();
      check_close(binary(once).values(), once, 1e-12);
      check_close(exact(thrice, 2).values(), thrice, 1e-12);
    }
  }

  TEST_CASE("paper-bcgd 9.7: relative residuals of 20000 Gaussian weights") {
    const Vector w = normals(20000, 7);
    const auto relative = [&](const Encoded& e) { return residual(w, e) / squared_norm(w); };
    CHECK(std::abs(relative(binary(w)) - 0.3634) <= 0.01);
    CHECK(std::abs(relative(exact(w, 2)) - 0.190) <= 0.006);
    CHECK(relative(exact(w, 2)) <= relative(seven_tenths(w)));
    CHECK(relative(exact(w, 4)) < relative(one_lloyd_step(w, 4)));
    CHECK(relative(one_lloyd_step(w, 4)) < 0.04);
  }
}

TEST_SUITE("quant") {
  TEST_CASE("sweep: equal to looking at every event, for long, tied, rounded and heavy-tailed weights") {
    const auto every_event = [](const Vector& w, int levels) {
      std::vector<std::pair<double, double>> events;  // slope |w| / (2 j - 1), |w|
      for (const double x : w)
        for (int j = 1; j <= levels; ++j) events.emplace_back(std::abs(x) / (2 * j - 1), std::abs(x));
      std::ranges::sort(events, std::greater<>());
      double a = 0, b = 0, gain = 0;
      for (const auto& [slope, x] : events) {
        if (x == 0) break;
        a += x;
        b += std::round(x / slope);
        gain = std::max(gain, a * a / b);
      }
      return squared_norm(w) - gain;
    };
    const std::function<double(double)> shapes[] = {
        [](double x) { return x; },
        [](double x) { return std::round(4 * x) / 4; },
        [](double x) { return x > 0 ? 1.0 : -2.0; },
        [](double x) { return x * x * x * std::exp(2 * std::abs(x)); },
        [](double x) { return x < 1 ? 0 : x; },
    };
    for (const std::size_t n : {1u, 2u, 33u, 700u, 70001u})
      for (const auto& shape : shapes)
        for (const int bits : {2, 3, 4, 8}) {
          if (bits == 8 && n > 700) continue;
          Vector w = normals(n, n);
          for (double& x : w) x = shape(x);
          const double expected = every_event(w, highest_weight_level(bits));
          INFO("n ", n, ", bits ", bits, ", expected ", expected);
          CHECK(std::abs(residual(w, exact(w, bits)) - expected) <= 1e-11 * squared_norm(w));
        }
  }

  TEST_CASE("codes: signs, zeros and levels on and around the thresholds") {
    const Vector w{-0.0, 0, 1, -1, 2.5, -2.5, std::nextafter(2.5, 0), 9, -9, 1e-300};
    CHECK(encoded(w, {0.0}).codes == std::vector<std::int8_t>{1, 1, 1, -1, 1, -1, 1, 1, -1, 1});
    CHECK(encoded(w, binary_thresholds<double>(0)).codes == std::vector<std::int8_t>{0, 0, 1, -1, 1, -1, 1, 1, -1, 1});
    CHECK(encoded(w, {1.0, 2.5, 3.5}).codes == std::vector<std::int8_t>{0, 0, 1, -1, 2, -2, 1, 3, -3, 0});
    // Nearest integers to |w| / 0.5, half-integers down.
    CHECK(encoded(Vector{.25, .26, -.75, .76, -1.25, 7}, nearest_thresholds<double>(.5, 3)).codes ==
          std::vector<std::int8_t>{0, 1, -1, 2, -2, 3});
  }

  TEST_CASE("zero weights give delta = 0, empty ones too, what is not finite gives NaN") {
    const Vector zeros(100);
    CHECK(binary(zeros).delta == 0);
    CHECK(exact(zeros, 2).delta == 0);
    CHECK(exact(zeros, 4).delta == 0);
    CHECK(one_lloyd_step(zeros, 4).delta == 0);
    CHECK(binary({}).delta == 0);
    CHECK(exact({}, 4).delta == 0);
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL})
      for (const std::size_t place : {0u, 17u, 99u}) {
        Vector w = normals(100, 1);
        w[place] = bad;
        CHECK(std::isnan(binary(w).delta));
        CHECK(std::isnan(exact(w, 2).delta));
        CHECK(std::isnan(exact(w, 8).delta));
        CHECK(std::isnan(one_lloyd_step(w, 4).delta));
      }
  }

  TEST_CASE("bits outside 1 to 8, and another sign of zero than 0 and 1, are refused") {
    for (const int bits : {0, 9, -3}) CHECK_THROWS_AS(highest_weight_level(bits), UsageError);
    CHECK_THROWS_AS(binary_thresholds<double>(-1), UsageError);
    CHECK_THROWS_AS(encoded(kGolden, Vector{2, 1}), Error);
    CHECK_THROWS_AS(exact_thresholds<double>(Vector{1e200, 0}, 1), Error);
  }

  TEST_CASE("doubles whose squares are no normal numbers count as zeros in the exact projection") {
    const Vector tiny{1e-200, -3e-200, 0};
    CHECK(encoded(tiny, exact_thresholds<double>(tiny, 3)).codes ==
          encoded(Vector{0, 0, 0}, exact_thresholds<double>(Vector{0, 0, 0}, 3)).codes);
    const Vector small{1e-139, -1e-139, 0};
    CHECK(encoded(small, exact_thresholds<double>(small, 1)).delta > 0);
  }

  TEST_CASE("float weights: codes and scale have the same bits for 1 and 2 threads and every kernel table") {
    for (const std::int64_t n : {1, 17, 5000, 200001}) {
      const std::vector<float> w = gaussian(n, static_cast<unsigned>(n));
      for (const int bits : {1, 2, 4}) {
        const auto thresholds = [&] {
          return bits == 1 ? binary_thresholds<float>() : exact_thresholds<float>(w, highest_weight_level(bits));
        };
        const auto run = [&] {
          const Encoded e = encoded(w, thresholds());
          Vector all(e.codes.begin(), e.codes.end());
          all.push_back(e.delta);
          return all;
        };
        CHECK(same_with_two_threads(run));
        use_kernels("scalar");
        const Vector reference = run();
        with_each_table([&] { CHECK(same_bits(run(), reference)); });
      }
    }
  }
}
