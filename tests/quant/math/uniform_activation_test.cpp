// The scalar mathematics of the b-bit activation quantizer: level, derivative rules, resolution.
#include "quant/math/uniform_activation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "core/base/check.h"
#include "quant/math/surrogate.h"

using namespace coarsegrad;

namespace {

using Values = std::vector<double>;
const Values kX{-.3, 0, .1, .5, .7, 1.2, 1.5, 1.6, 3};
constexpr double kAlpha = .5;

double top_of(int bits) { return highest_level(bits); }

Values outputs(int bits) {
  Values y;
  for (const double x : kX) y.push_back(uniform_activation(x, kAlpha, top_of(bits)));
  return y;
}

Values clipped_derivatives(int bits) {
  Values y;
  for (const double x : kX) y.push_back(surrogate("clipped_relu").derivative(x / kAlpha, top_of(bits)));
  return y;
}

Values alpha_derivatives(AlphaRule rule, int bits) {
  Values y;
  for (const double x : kX) y.push_back(alpha_derivative(rule, x, kAlpha, top_of(bits)));
  return y;
}

// Of all levels k and float alphas, up to powers of two: in percent, those that a second pass moves.
double moved_levels(int bits) {
  const float top = static_cast<float>(top_of(bits));
  std::int64_t moved = 0, all = 0;
  const int stride = bits > 3 ? 257 : 1;
  for (int mantissa = 0; mantissa < 0x800000; mantissa += stride)
    for (float k = 1; k <= top; ++k, ++all) {
      const float alpha = 1 + static_cast<float>(mantissa) * 0x1p-23f;
      const float again = activation_level(alpha * k, alpha, top);
      moved += again != k;
      if (again != k && again != k + 1) return std::nan("");
    }
  return 100 * static_cast<double>(moved) / static_cast<double>(all);
}

// Lloyd's alternation on a grid instead of by integrals: an independent way to the same number.
double lloyd_on_grid(int bits, double alpha) {
  const double top = top_of(bits);
  for (double change = 1; change > 1e-9;) {
    double code_x = 0, code_squared = 0;
    for (int i = 1; i <= 100000; ++i) {
      const double x = i * 1e-4, k = std::min(top, std::floor(x / alpha + 0.5)), weight = std::exp(-x * x / 2);
      code_x += weight * k * x;
      code_squared += weight * k * k;
    }
    change = std::abs(code_x / code_squared - alpha);
    alpha = code_x / code_squared;
  }
  return alpha;
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("rounding up is not idempotent: the stated share of levels moves up by one in a second pass") {
    CHECK(uniform_activation(0.1f * 13, 0.1f, 15.f) == 0.1f * 14);
    CHECK(uniform_activation(0.1f * 14, 0.1f, 15.f) == 0.1f * 14);
    for (const int bits : {1, 2}) CHECK(moved_levels(bits) == 0);
    CHECK(moved_levels(3) == doctest::Approx(2.7).epsilon(0.02));
    CHECK(moved_levels(4) == doctest::Approx(4.1).epsilon(0.02));
    CHECK(moved_levels(8) == doctest::Approx(5.6).epsilon(0.02));
  }
}

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 8.19: resolution by Lloyd's alternation on the half-Gaussian") {
    const double expected[][3] = {{1, 1.2240, 1.2221}, {2, 0.6508, 0.6511}, {4, 0.1933, 0.1946}};
    for (const auto& [bits, lloyd, authors] : expected) {
      const double fitted = lloyd_alpha(static_cast<int>(bits));
      CHECK(std::abs(fitted - lloyd) < 1e-3);
      CHECK(std::abs(lloyd_on_grid(static_cast<int>(bits), 1.05 * fitted) - fitted) < 1e-3);
      CHECK(half_gaussian_alpha(static_cast<int>(bits)) == authors);
      CHECK(std::abs(authors - fitted) < 0.006);
    }
  }

  TEST_CASE("paper-ste 8.20: quantizer and clipped ReLU derivative on the unit inputs") {
    CHECK(outputs(2) == Values{0, 0, .5, .5, 1, 1.5, 1.5, 1.5, 1.5});
    CHECK(clipped_derivatives(2) == Values{0, 0, 1, 1, 1, 1, 1, 0, 0});
    CHECK(outputs(4) == Values{0, 0, .5, .5, 1, 1.5, 1.5, 2, 3});
    CHECK(clipped_derivatives(4) == Values{0, 0, 1, 1, 1, 1, 1, 1, 1});
    CHECK(outputs(1) == Values{0, 0, .5, .5, .5, .5, .5, .5, .5});
    CHECK(clipped_derivatives(1) == Values{0, 0, 1, 1, 0, 0, 0, 0, 0});
  }
}

TEST_SUITE("paper-bcgd") {
  TEST_CASE("paper-bcgd 9.1: levels, derivative in x and three derivatives in alpha") {
    const Values ones{0, 0, 1, 1, 1, 1, 1, 1, 1};
    CHECK(outputs(1) == Values{0, 0, .5, .5, .5, .5, .5, .5, .5});
    CHECK(clipped_derivatives(1) == Values{0, 0, 1, 1, 0, 0, 0, 0, 0});
    CHECK(alpha_derivatives(AlphaRule::exact, 1) == ones);
    CHECK(alpha_derivatives(AlphaRule::three_valued, 1) == ones);
    CHECK(alpha_derivatives(AlphaRule::pact, 1) == Values{0, 0, 0, 0, 1, 1, 1, 1, 1});

    CHECK(outputs(2) == Values{0, 0, .5, .5, 1, 1.5, 1.5, 1.5, 1.5});
    CHECK(clipped_derivatives(2) == Values{0, 0, 1, 1, 1, 1, 1, 0, 0});
    CHECK(alpha_derivatives(AlphaRule::exact, 2) == Values{0, 0, 1, 1, 2, 3, 3, 3, 3});
    CHECK(alpha_derivatives(AlphaRule::three_valued, 2) == Values{0, 0, 2, 2, 2, 2, 2, 3, 3});
    CHECK(alpha_derivatives(AlphaRule::pact, 2) == Values{0, 0, 0, 0, 0, 0, 0, 3, 3});

    CHECK(outputs(4) == Values{0, 0, .5, .5, 1, 1.5, 1.5, 2, 3});
    CHECK(clipped_derivatives(4) == ones);
    CHECK(alpha_derivatives(AlphaRule::exact, 4) == Values{0, 0, 1, 1, 2, 3, 3, 4, 6});
    CHECK(alpha_derivatives(AlphaRule::three_valued, 4) == Values{0, 0, 8, 8, 8, 8, 8, 8, 8});
    CHECK(alpha_derivatives(AlphaRule::pact, 4) == Values{0, 0, 0, 0, 0, 0, 0, 0, 0});
  }

  TEST_CASE("paper-bcgd 9.2: exact rule is the difference quotient in alpha almost everywhere") {
    std::mt19937_64 random(12);
    std::normal_distribution<double> normal;
    for (const int bits : {1, 2, 4}) {
      const double top = top_of(bits), step = 1e-7;
      int agree = 0, disagree_pact = 0;
      constexpr int kInputs = 100000;
      for (int i = 0; i < kInputs; ++i) {
        const double x = normal(random), alpha = 0.1 + 0.5 * (i % 10) / 10.0;
        const double quotient =
            (uniform_activation(x, alpha + step, top) - uniform_activation(x, alpha - step, top)) / (2 * step);
        agree += std::abs(quotient - alpha_derivative(AlphaRule::exact, x, alpha, top)) < 1e-4;
        disagree_pact += std::abs(quotient - alpha_derivative(AlphaRule::pact, x, alpha, top)) > 1e-4;
      }
      CHECK(agree >= 0.9999 * kInputs);
      CHECK(disagree_pact > 0.05 * kInputs);
    }
  }

  TEST_CASE("paper-bcgd 9.2: three-valued rule is the mean of the exact one") {
    for (const int bits : {1, 2, 4}) {
      const double top = top_of(bits), middle = std::pow(2, bits - 1);
      double levels = 0, mean = 0;
      for (int k = 1; k <= top; ++k) levels += k / top;
      CHECK(levels == doctest::Approx(middle).epsilon(1e-12));
      constexpr int kGrid = 300000;
      for (int i = 1; i <= kGrid; ++i)
        mean += alpha_derivative(AlphaRule::exact, i * top * kAlpha / kGrid, kAlpha, top) / kGrid;
      CHECK(std::abs(mean - middle) < 1e-3);
      CHECK(alpha_derivative(AlphaRule::three_valued, 0.3, kAlpha, top) == middle);
    }
  }

  TEST_CASE("paper-bcgd 9.3: 2^b levels, rounding up by less than alpha, saturation outside") {
    for (const int bits : {1, 2, 4, 8}) {
      const double top = top_of(bits);
      std::set<double> levels;
      for (int i = -2000; i <= 140000; ++i) {
        const double x = i * 1e-3, y = uniform_activation(x, kAlpha, top);
        levels.insert(y);
        if (x <= 0) CHECK_UNARY(y == 0);
        if (x > top * kAlpha) CHECK_UNARY(y == top * kAlpha);
        if (x > 0 && x <= top * kAlpha) CHECK_UNARY(y - x >= 0 && y - x < kAlpha);
      }
      CHECK(levels.size() == static_cast<std::size_t>(std::pow(2, bits)));
    }
  }
}

TEST_SUITE("quant") {
  TEST_CASE("activation quantizer keeps NaN, saturates infinity and works in float") {
    const double infinity = std::numeric_limits<double>::infinity(), nan = std::nan("");
    CHECK(std::isnan(uniform_activation(nan, .5, 3.0)));
    CHECK(uniform_activation(infinity, .5, 3.0) == 1.5);
    CHECK(uniform_activation(-infinity, .5, 3.0) == 0);
    CHECK(uniform_activation(std::numeric_limits<double>::denorm_min(), .5, 3.0) == .5);
    CHECK(uniform_activation(-0.0, .5, 3.0) == 0);
    CHECK(uniform_activation(0.7f, 0.5f, 3.0f) == 1.0f);
    CHECK(alpha_derivative(AlphaRule::exact, 0.7f, 0.5f, 3.0f) == 2.0f);
  }

  TEST_CASE("resolution falls with the bits and other bits are refused") {
    for (int bits = 2; bits <= 8; ++bits) CHECK(half_gaussian_alpha(bits) < half_gaussian_alpha(bits - 1));
    CHECK_THROWS_WITH_AS(highest_level(9), "bits of an activation: given 9, expected 1 to 8", UsageError);
    CHECK_THROWS_AS(half_gaussian_alpha(0), UsageError);
    CHECK(alpha_rule("three_valued") == AlphaRule::three_valued);
    CHECK_THROWS_AS(alpha_rule("two_valued"), UsageError);
  }
}
