// Each surrogate's derivative against its function, its values at special points, and the registry.
#include "quant/math/surrogate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/base/check.h"

using namespace coarsegrad;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTiny = std::numeric_limits<double>::denorm_min();

struct Comparison {
  double worst = 0;  // largest |derivative - difference quotient|
  int kinks = 0;     // points left out, where the one-sided quotients differ
};

Comparison compare(const Surrogate& s, double window) {
  Comparison c;
  const double h = 1e-5;
  for (int i = -6000; i <= 6000; ++i) {
    const double x = i * 1e-3;
    const double right = (s.value(x + h, window) - s.value(x, window)) / h;
    const double left = (s.value(x, window) - s.value(x - h, window)) / h;
    if (std::abs(right - left) > 1e-2) {
      ++c.kinks;
      continue;
    }
    const double quotient = (s.value(x + h, window) - s.value(x - h, window)) / (2 * h);
    const double at = s.derivative(x, window);
    // Where the derivative has a corner, the central quotient is off by a quarter of what it bends there.
    const double bend = std::abs(s.derivative(x + h, window) - 2 * at + s.derivative(x - h, window));
    c.worst = std::max(c.worst, std::abs(quotient - at) - bend);
  }
  return c;
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("every surrogate is the derivative of its function") {
    for (const Surrogate* s : all_surrogates())
      for (const double window : {1.0, 3.0}) {
        INFO(s->name(), " with window ", window);
        const Comparison c = compare(*s, window);
        CHECK(c.worst < 1e-7);
        CHECK(c.kinks <= 2);
      }
  }

  TEST_CASE("a surrogate whose derivative is 1e-5 off is caught") {
    const Surrogate wrong(
        "wrong", [](auto x, auto) { return std::tanh(x); },
        [](auto x, auto) { return (1 - std::tanh(x) * std::tanh(x)) * decltype(x)(1 + 1e-5); });
    CHECK(compare(wrong, 1).worst > 1e-6);
  }

  TEST_CASE("derivatives at zero, thresholds, infinity, NaN and denormals are pinned") {
    const double nan = std::nan("");
    struct Row {
      const char* name;
      double at[9];
    };
    // x = -inf, -1, -denormal, -0, 0, denormal, 1, above 1, +inf, with window 1
    const double x[9] = {-kInfinity, -1, -kTiny, -0.0, 0.0, kTiny, 1, std::nextafter(1.0, 2.0), kInfinity};
    const double flat = 1 / (1 + std::numbers::pi * std::numbers::pi / 4);
    const double sech2 = 0.41997434161402614, bell = 0.19661193324148185, dip = -0.194992254900325;
    const Row rows[] = {{"identity", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                        {"relu", {0, 0, 0, 0, 0, 1, 1, 1, 1}},
                        {"clipped_relu", {0, 0, 0, 0, 0, 1, 1, 0, 0}},
                        {"hard_tanh", {0, 1, 1, 1, 1, 1, 1, 0, 0}},
                        {"triangular", {0, 0, 1, 1, 1, 1, 0, 0, 0}},
                        {"polynomial", {0, 0, 2, 2, 2, 2, 0, 0, 0}},
                        {"arctan", {0, flat, 1, 1, 1, 1, flat, flat, 0}},
                        {"tanh", {0, sech2, 1, 1, 1, 1, sech2, sech2, 0}},
                        {"sigmoid", {0, bell, .25, .25, .25, .25, bell, bell, 0}},
                        {"leaky_relu", {.01, .01, .01, .01, .01, 1, 1, 1, 1}},
                        {"swish_sign", {0, dip, 5, 5, 5, 5, dip, dip, 0}}};
    for (const Row& row : rows)
      for (int i = 0; i < 9; ++i) {
        INFO(row.name, " at ", x[i]);
        CHECK(std::abs(surrogate(row.name).derivative(x[i]) - row.at[i]) < 1e-14);
      }
    for (const char* name : {"tanh", "sigmoid", "swish_sign", "triangular", "polynomial", "arctan"})
      CHECK(std::isnan(surrogate(name).derivative(nan)));
    CHECK(surrogate("identity").derivative(nan) == 1);
    for (const char* name : {"relu", "clipped_relu", "hard_tanh"}) CHECK(surrogate(name).derivative(nan) == 0);
    CHECK(surrogate("leaky_relu").derivative(nan) == 0.01);
  }

  TEST_CASE("window of the clipped ReLU is 0 < x <= K") {
    const Surrogate& s = surrogate("clipped_relu");
    CHECK(s.derivative(3, 3) == 1);
    CHECK(s.derivative(std::nextafter(3.0, 4.0), 3) == 0);
    CHECK(s.derivative(0, 3) == 0);
    CHECK(s.value(2, 3) == 2);
    CHECK(s.value(4, 3) == 3);
    CHECK(s.value(-1, 3) == 0);
  }

  TEST_CASE("windows of the symmetric surrogates scale with K, and what stands for a sign has its height") {
    const Surrogate &tanh = surrogate("hard_tanh"), &polynomial = surrogate("polynomial");
    CHECK(tanh.derivative(-3, 3) == 1);
    CHECK(tanh.derivative(3, 3) == 1);
    CHECK(tanh.derivative(std::nextafter(3.0, 4.0), 3) == 0);
    CHECK(tanh.value(-4, 3) == -3);
    CHECK(surrogate("triangular").derivative(-1.5, 3) == 0.5);
    CHECK(polynomial.derivative(1.5, 3) == 1);
    CHECK(polynomial.derivative(0.25) == 1.5);  // Bi-Real Net, equation 6: 2 - 2 x
    CHECK(polynomial.derivative(-0.25) == 1.5);
    for (const double x : {0.25, -0.5}) CHECK(polynomial.value(x) == 2 * x - x * std::abs(x));
    for (const char* name : {"hard_tanh", "polynomial", "swish_sign", "arctan", "tanh"}) {
      CHECK(surrogate(name).value(1e9) == doctest::Approx(1));
      CHECK(surrogate(name).value(-1e9) == doctest::Approx(-1));
    }
  }

  TEST_CASE("functions are finite and keep NaN everywhere") {
    for (const Surrogate* s : all_surrogates()) {
      INFO(s->name());
      for (const double x : {-1e30, -800.0, -80.0, 80.0, 800.0, 1e30}) {
        CHECK(std::isfinite(s->value(x)));
        CHECK(std::isfinite(s->derivative(x)));
      }
      CHECK(std::isnan(s->value(std::nan(""))));
    }
  }

  TEST_CASE("loops over float and double agree with the scalar derivative") {
    std::vector<float> x32;
    std::vector<double> x64;
    for (int i = -200; i <= 200; ++i) {
      x32.push_back(static_cast<float>(i) / 16);
      x64.push_back(i / 16.0);
    }
    for (const Surrogate* s : all_surrogates()) {
      INFO(s->name());
      std::vector<float> y32(x32.size());
      std::vector<double> y64 = x64;
      s->derivative(x32, 3.0f, y32);
      s->derivative(y64, 3.0, y64);  // in place
      for (std::size_t i = 0; i < x64.size(); ++i) {
        CHECK(y64[i] == s->derivative(x64[i], 3));
        CHECK(std::abs(y32[i] - y64[i]) < 1e-5);
      }
    }
    std::vector<float> short_out(3);
    CHECK_THROWS_AS(surrogate("relu").derivative(x32, 1.0f, short_out), Error);
  }

  TEST_CASE("registry lists the shipped names, takes new ones and says what it knows") {
    const std::vector<std::string> names = surrogate_names();
    REQUIRE(names.size() >= 11);
    CHECK(names[0] == "identity");
    CHECK(names[2] == "clipped_relu");
    CHECK(names[10] == "arctan");
    const Surrogate* relu = &surrogate("relu");
    const Surrogate& added = register_surrogate(
        "cauchy", [](auto x, auto) { return std::atan(x); }, [](auto x, auto) { return 1 / (1 + x * x); });
    CHECK(&surrogate("cauchy") == &added);
    CHECK(&surrogate("relu") == relu);
    CHECK(surrogate_names().back() == "cauchy");
    CHECK(compare(added, 1).worst < 1e-7);
    CHECK_THROWS_WITH_AS(register_surrogate(added), "register surrogate: 'cauchy' is registered already", UsageError);
    CHECK_THROWS_WITH_AS(surrogate("rellu"),
                         "surrogate: given 'rellu', expected one of: identity relu clipped_relu hard_tanh tanh sigmoid "
                         "leaky_relu triangular polynomial swish_sign arctan cauchy",
                         UsageError);
  }
}
