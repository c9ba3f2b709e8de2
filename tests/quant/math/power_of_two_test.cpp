// Power-of-two weights as mathematics over one group: what the paper's method promises, against brute force.
#include "quant/math/power_of_two.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "quant/math/uniform_weight.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

using Vector = std::vector<double>;

template <class T>
struct Encoded {
  std::vector<std::int8_t> codes;
  double scale;
  int magnitudes;
  int s() const { return floor_log2(scale); }
  /// The paper's t of each weight; -1 for zero.
  std::vector<int> exponents() const {
    std::vector<int> t;
    for (const int k : codes) t.push_back(k == 0 ? -1 : magnitudes - std::abs(k));
    return t;
  }
};

template <class T>
Encoded<T> empty(const std::vector<T>& w, int bits) {
  return {std::vector<std::int8_t>(w.size()), 0, power_magnitudes(bits)};
}
template <class T>
Encoded<T> by_max(const std::vector<T>& w, int bits, double mu_over_max = 0.75) {
  Encoded<T> e = empty(w, bits);
  e.scale = encode_powers_by_max<T>(w, bits, mu_over_max, e.codes.data());
  return e;
}
template <class T>
Encoded<T> exactly(const std::vector<T>& w, int bits) {
  Encoded<T> e = empty(w, bits);
  e.scale = encode_powers_exactly<T>(w, bits, e.codes.data());
  return e;
}
template <class T>
Encoded<T> with_mu(const std::vector<T>& w, int bits, double mu) {
  Encoded<T> e = empty(w, bits);
  e.scale = encode_powers<T>(w, power_thresholds<T>(mu, e.magnitudes), e.codes.data());
  return e;
}

double squared(const Vector& w) {
  double sum = 0;
  for (const double x : w) sum += x * x;
  return sum;
}

template <class T>
double error_of(const std::vector<T>& w, const Encoded<T>& e) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    sum += std::pow(static_cast<double>(w[i]) - e.scale * power_value(e.codes[i], e.magnitudes), 2);
  return sum;
}

/// The size of {0, 2^(s-n+1), ..., 2^s} nearest to a; of two the larger one.
double nearest_size(double a, int s, int magnitudes) {
  double best = 0;
  for (int t = magnitudes - 1; t >= 0; --t)
    if (const double q = std::ldexp(1.0, s - t); std::abs(a - q) <= std::abs(a - best)) best = q;
  return best;
}

/// The scan over s with its stop rule, weight by weight.
double scanned_error(const Vector& w, int magnitudes) {
  double largest = 0, best = HUGE_VAL;
  for (const double x : w) largest = std::max(largest, std::abs(x));
  for (int s = floor_log2(4 * largest / 3);; --s) {
    double clipped = 0, error = 0;
    for (const double x : w) {
      clipped += std::pow(std::max(0.0, std::abs(x) - std::ldexp(1.0, s)), 2);
      error += std::pow(std::abs(x) - nearest_size(std::abs(x), s, magnitudes), 2);
    }
    if (clipped >= best) return best;
    best = std::min(best, error);
  }
}

/// The smallest error over every choice of Q from the alphabet and s within 12 of the best one for it.
double brute_force(const Vector& w, int magnitudes) {
  Vector alphabet;
  for (int k = -magnitudes; k <= magnitudes; ++k) alphabet.push_back(power_value(k, magnitudes));
  double best = squared(w);
  std::vector<std::size_t> digit(w.size());
  for (bool more = true; more;) {
    double a = 0, b = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      a += std::pow(alphabet[digit[i]], 2);
      b += alphabet[digit[i]] * w[i];
    }
    if (a > 0 && b > 0)
      for (int s = -12; s <= 12; ++s) best = std::min(best, squared(w) + std::ldexp(a, 2 * s) - 2 * std::ldexp(b, s));
    more = false;
    for (std::size_t i = 0; i < w.size() && !more; ++i) {
      more = ++digit[i] < alphabet.size();
      if (!more) digit[i] = 0;
    }
  }
  return best;
}

/// The smallest error over all supports with all their signs right; error(sum of |w| there, their number).
template <class Error>
double best_support(const Vector& w, Error error) {
  double best = squared(w);
  for (unsigned support = 1; support < 1u << w.size(); ++support) {
    double sum = 0;
    int count = 0;
    for (std::size_t i = 0; i < w.size(); ++i)
      if (support >> i & 1u) {
        sum += std::abs(w[i]);
        ++count;
      }
    best = std::min(best, squared(w) + error(sum, count));
  }
  return best;
}

Vector normals(std::size_t n, std::uint64_t seed, double deviation = 1) {
  Vector w(n);
  Rng(seed).normal(w.data(), n, 0.0, deviation);
  return w;
}

/// Of very different sizes: the cube of a normal number times one of 1e-3 to 1e3.
Vector heavy_tailed(Rng& rng) {
  Vector w = normals(1 + rng.below(39), rng.bits());
  const double scale = std::pow(10, 6 * rng.uniform() - 3);
  for (double& x : w) x *= x * x * scale;
  return w;
}

double share_of_zeros(const std::vector<std::int8_t>& codes) {
  return static_cast<double>(std::ranges::count(codes, 0)) / static_cast<double>(codes.size());
}

const Vector kGolden{0.9, -0.35, 0.12, -0.05, 0.02, 0.6, -0.2, 0.01};
constexpr int Z = -1;

}  // namespace

TEST_SUITE("paper-lbw-net") {
  TEST_CASE("paper-lbw-net 12.1: the closed form of the scale is the best integer") {
    Rng rng(1);
    for (int i = 0; i < 10000; ++i) {
      const double a = 0.01 + 49.99 * rng.uniform(), b = 0.01 + 49.99 * rng.uniform();
      const auto f = [=](int s) { return std::ldexp(a, 2 * s) - 2 * std::ldexp(b, s); };
      const int best = best_power_scale(a, b);
      double least = HUGE_VAL;
      for (int s = best - 12; s <= best + 12; ++s) least = std::min(least, f(s));
      CHECK(f(best) <= least + 1e-9 * std::abs(least));
      CHECK(f(best + 1) >= f(best));
      CHECK(f(best - 1) >= f(best));
    }
  }

  TEST_CASE("paper-lbw-net 12.1: floor(log2 x) is exact beside every power of two") {
    for (int e = -1021; e <= 1023; ++e) {
      const double power = std::ldexp(1.0, e);
      CHECK(floor_log2(power) == e);
      CHECK(floor_log2(std::nextafter(power, 0)) == e - 1);
      CHECK(floor_log2(std::nextafter(power, HUGE_VAL)) == e);
    }
  }

  TEST_CASE("paper-lbw-net 12.2: ternary weights are those of brute force over supports and scales") {
    Rng rng(2);
    for (int i = 0; i < 100; ++i) {
      const Vector w = normals(1 + rng.below(12), 100 + static_cast<std::uint64_t>(i));
      const double best = best_support(w, [](double sum, int count) {
        double least = 0;
        for (int s = -12; s <= 6; ++s)
          least = std::min(least, std::ldexp(double(count), 2 * s) - 2 * std::ldexp(sum, s));
        return least;
      });
      CHECK(std::abs(error_of(w, exactly(w, 2)) - best) <= 1e-12 * squared(w));
      CHECK(exactly(w, 2).codes == by_max(w, 2).codes);
    }
  }

  TEST_CASE("paper-lbw-net 12.3: ternary weights with a real scale are those of brute force") {
    Rng rng(3);
    for (int i = 0; i < 100; ++i) {
      const Vector w = normals(1 + rng.below(12), 300 + static_cast<std::uint64_t>(i));
      std::vector<std::int8_t> codes(w.size());
      const double delta = encode_weights<double>(w, exact_thresholds<double>(w, 1), codes.data());
      double error = 0;
      for (std::size_t j = 0; j < w.size(); ++j) error += std::pow(w[j] - delta * codes[j], 2);
      const double best = best_support(w, [](double sum, int count) { return -sum * sum / count; });
      CHECK(std::abs(error - best) <= 1e-12 * squared(w));
      CHECK(error <= error_of(w, exactly(w, 2)) + 1e-12 * squared(w));
    }
  }

  TEST_CASE("paper-lbw-net 12.4: the exact minimum is that of brute force over all assignments") {
    Rng rng(4);
    int rule_is_worse = 0;
    for (int i = 0; i < 60; ++i)
      for (const auto& [bits, most] : {std::pair{3, 5}, {4, 4}}) {
        const Vector w = normals(1 + rng.below(static_cast<std::uint64_t>(most)), rng.bits());
        const double best = brute_force(w, power_magnitudes(bits));
        CHECK(std::abs(error_of(w, exactly(w, bits)) - best) <= 1e-12);
        rule_is_worse += error_of(w, by_max(w, bits)) > best + 1e-9;
      }
    CHECK(rule_is_worse > 20);  // the comparison tells them apart
  }

  TEST_CASE("paper-lbw-net 12.4: one pass finds what a scan over all scales finds") {
    Rng rng(5);
    for (int i = 0; i < 3000; ++i) {
      const Vector w = heavy_tailed(rng);
      const int bits = 2 + static_cast<int>(rng.below(6));
      const double best = scanned_error(w, power_magnitudes(bits));
      CHECK(std::abs(error_of(w, exactly(w, bits)) - best) <= 1e-12 * squared(w));
    }
    // A single large weight among many small ones: the best scale is far below the largest weight.
    Vector w(200000, 0.01);
    w[7] = 1;
    CHECK(exactly(w, 2).s() == -7);
    CHECK(std::abs(error_of(w, exactly(w, 2)) - scanned_error(w, 1)) <= 1e-9);
  }

  TEST_CASE("paper-lbw-net 12.5: with mu = 3/4 2^s every weight takes the nearest level") {
    const Vector w = normals(2000, 6);
    for (int bits = 2; bits <= 7; ++bits)
      for (int s = -4; s <= 2; ++s) {
        const int n = power_magnitudes(bits);
        const auto e = with_mu(w, bits, std::ldexp(0.75, s));
        int wrong = 0;
        for (std::size_t i = 0; i < w.size(); ++i) {
          const double q = std::ldexp(std::abs(power_value(e.codes[i], n)), s);
          wrong += q != nearest_size(std::abs(w[i]), s, n) || (e.codes[i] != 0 && (e.codes[i] < 0) != (w[i] < 0));
        }
        CHECK(wrong == 0);
      }
  }

  TEST_CASE("paper-lbw-net 12.5: no threshold mu beats the exact minimum") {
    Rng rng(7);
    for (int i = 0; i < 300; ++i) {
      const Vector w = heavy_tailed(rng);
      for (int bits = 2; bits <= 6; ++bits) {
        const double least = error_of(w, exactly(w, bits));
        for (const double mu : {0.1, 0.35, 0.5, 0.75, 1.0})
          CHECK(error_of(w, by_max(w, bits, mu)) >= least - 1e-12 * squared(w));
      }
    }
  }

  TEST_CASE("paper-lbw-net 12.6: golden weights: exponents, scales, errors") {
    struct Golden {
      int bits;
      bool exact;
      std::vector<int> t;
      int s;
      double error;
    };
    const Golden golden[] = {{2, true, {0, 0, Z, Z, Z, 0, Z, Z}, -1, 0.249900},
                             {2, false, {0, 0, Z, Z, Z, 0, Z, Z}, -1, 0.249900},
                             {3, false, {0, 1, Z, Z, Z, 1, Z, Z}, 0, 0.099900},
                             {3, true, {0, 1, Z, Z, Z, 1, Z, Z}, 0, 0.099900},
                             {4, false, {0, 1, 3, Z, Z, 1, 2, Z}, 0, 0.048025},
                             {4, true, {0, 2, 3, Z, Z, 1, 2, Z}, 0, 0.035525},
                             {5, false, {0, 1, 3, 4, 6, 1, 2, 7}, 0, 0.04520517578125},
                             {5, true, {0, 2, 3, 4, 6, 1, 2, 7}, 0, 0.03270517578125},
                             {6, false, {0, 1, 3, 4, 6, 1, 2, 7}, 0, 0.04520517578125},
                             {6, true, {0, 2, 3, 4, 6, 1, 2, 7}, 0, 0.03270517578125}};
    for (const Golden& g : golden) {
      INFO(g.bits, " bits", g.exact ? ", exact" : "");
      const auto e = g.exact ? exactly(kGolden, g.bits) : by_max(kGolden, g.bits);
      CHECK(e.exponents() == g.t);
      CHECK(e.s() == g.s);
      CHECK(std::abs(error_of(kGolden, e) - g.error) <= 1e-9);
      for (std::size_t i = 0; i < kGolden.size(); ++i)
        if (e.codes[i] != 0) CHECK((e.codes[i] < 0) == (kGolden[i] < 0));
    }
    const std::vector<float> single(kGolden.begin(), kGolden.end());
    for (const Golden& g : golden)
      CHECK((g.exact ? exactly(single, g.bits) : by_max(single, g.bits)).exponents() == g.t);
  }

  TEST_CASE("paper-lbw-net 12.6: golden gains of each support, and the real scales") {
    Vector sizes;
    for (const double x : kGolden) sizes.push_back(std::abs(x));
    std::ranges::sort(sizes, std::greater());
    const double expected[] = {-0.8, -1.0, -1.1, -1.05, -0.92, -0.735, -0.6825, -0.625};
    double sum = 0;
    for (std::size_t k = 1; k <= sizes.size(); ++k) {
      sum += sizes[k - 1];
      const int s = best_power_scale(double(k), sum);
      CHECK(std::abs(std::ldexp(double(k), 2 * s) - 2 * std::ldexp(sum, s) - expected[k - 1]) <= 1e-9);
    }
    std::vector<std::int8_t> codes(8);
    const double ternary = encode_weights<double>(kGolden, exact_thresholds<double>(kGolden, 1), codes.data());
    CHECK(std::abs(ternary - 0.6166667) <= 5e-8);
    CHECK(std::ranges::count(codes, 0) == 5);
    CHECK(std::abs(encode_weights<double>(kGolden, binary_thresholds<double>(), codes.data()) - 0.28125) <= 1e-12);
    const auto scale = [](const Vector& w, int bits) {
      const auto e = by_max(w, bits);
      double a = 0, b = 0;
      for (std::size_t i = 0; i < w.size(); ++i) {
        const double q = std::abs(power_value(e.codes[i], e.magnitudes));
        a += q * q;
        b += q * std::abs(w[i]);
      }
      return 4 * b / (3 * a);
    };
    CHECK(std::abs(scale(kGolden, 3) - 1.2222222) <= 1e-6);
    CHECK(std::abs(scale(kGolden, 4) - 1.216634) <= 1e-6);
    CHECK(std::abs(scale(kGolden, 5) - 1.216358) <= 1e-6);
  }

  TEST_CASE("paper-lbw-net 12.8: a power of two in front moves the scale alone, a minus sign the signs") {
    for (int bits = 2; bits <= 7; ++bits)
      for (const bool exact : {false, true}) {
        const Vector w = normals(500, 8);
        const auto encode = [&](const Vector& v) { return exact ? exactly(v, bits) : by_max(v, bits); };
        const auto e = encode(w);
        for (const int j : {-60, -7, -1, 1, 5, 90}) {
          Vector scaled = w, flipped = w;
          for (double& x : scaled) x = std::ldexp(x, j);
          for (double& x : flipped) x = -x;
          CHECK(encode(scaled).codes == e.codes);
          CHECK(encode(scaled).s() == e.s() + j);
          auto negated = encode(flipped).codes;
          for (auto& k : negated) k = static_cast<std::int8_t>(-k);
          CHECK(negated == e.codes);
        }
      }
  }

  TEST_CASE("paper-lbw-net 12.9: relative errors and zeros of 200,000 Gaussian weights") {
    const Vector w = normals(200000, 9, 0.03);
    const auto relative = [&](const Encoded<double>& e) { return error_of(w, e) / squared(w); };
    CHECK(std::abs(relative(exactly(w, 3)) - 0.0963) <= 0.002);
    CHECK(std::abs(relative(exactly(w, 4)) - 0.0409) <= 0.001);
    CHECK(std::abs(relative(exactly(w, 5)) - 0.0378) <= 0.001);
    CHECK(std::abs(relative(exactly(w, 2)) - 0.2024) <= 0.002);
    CHECK(std::abs(share_of_zeros(exactly(w, 3).codes) - 0.397) <= 0.005);
    CHECK(std::abs(share_of_zeros(exactly(w, 4).codes) - 0.104) <= 0.005);
  }

  TEST_CASE("paper-lbw-net 12.9: the share of zeros of the rule is that of the weights below 2^-n max") {
    Vector w = normals(200000, 10);
    double most = 0;
    for (const double x : w) most = std::max(most, std::abs(x));
    for (double& x : w) x *= std::abs(x) < 0.999 * most;  // the largest one is put at 20 deviations
    w[0] = 20;
    CHECK(std::abs(share_of_zeros(by_max(w, 3).codes) - 1.000) <= 0.005);
    CHECK(std::abs(share_of_zeros(by_max(w, 4).codes) - 0.789) <= 0.005);
    CHECK(std::abs(share_of_zeros(by_max(w, 5).codes) - 0.062) <= 0.005);
    CHECK(share_of_zeros(by_max(w, 6).codes) < 0.001);
  }
}

TEST_SUITE("quant") {
  TEST_CASE("power-of-two weights: zeros, one weight, NaN, infinity, tiny ones, nothing") {
    const Vector zeros(5);
    for (int bits = 2; bits <= 7; ++bits)
      for (const bool exact : {false, true}) {
        const auto encode = [&](const Vector& v) { return exact ? exactly(v, bits) : by_max(v, bits); };
        CHECK(encode(zeros).scale == 1);
        CHECK(encode(zeros).codes == std::vector<std::int8_t>(5));
        const auto one = encode({-0.3});
        CHECK(one.scale * power_value(one.codes[0], one.magnitudes) == -0.25);
        CHECK(std::isnan(encode({1, NAN, 2}).scale));
        CHECK(std::isnan(encode({1, HUGE_VAL, 2}).scale));
        const double tiny = std::numeric_limits<double>::min();
        CHECK(encode({tiny, 1}).codes[1] == power_magnitudes(bits));
        CHECK(encode({tiny / 4}).codes[0] == 0);
        CHECK(encode({}).scale == 1);
      }
  }

  TEST_CASE("power-of-two weights: bits and mu_over_max out of range are refused") {
    CHECK_THROWS_AS(power_magnitudes(1), UsageError);
    CHECK_THROWS_AS(power_magnitudes(8), UsageError);
    CHECK_THROWS_AS(by_max(kGolden, 4, 0), UsageError);
    CHECK_THROWS_AS(by_max(kGolden, 4, NAN), UsageError);
  }

  TEST_CASE("power-of-two weights in float have the same bits for 1 and 2 threads and on every table") {
    const std::vector<float> w = gaussian(100001, 12, 0, 0.05f);
    for (int bits = 2; bits <= 6; ++bits)
      for (const bool exact : {false, true}) {
        const auto run = [&] {
          const auto e = exact ? exactly(w, bits) : by_max(w, bits);
          std::vector<float> all(e.codes.begin(), e.codes.end());
          all.push_back(static_cast<float>(e.scale));
          return all;
        };
        CHECK(same_with_two_threads(run));
        const auto reference = run();
        for (const Kernels* table : all_kernels()) {
          use_kernels(table->name);
          CHECK(run() == reference);
        }
        use_kernels("auto");
      }
  }
}
