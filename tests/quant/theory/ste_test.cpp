// The expectations behind every surrogate's coarse gradient: golden values, closed forms against quadrature and against
// Monte Carlo, and what they mean for the landscape.
#include "quant/theory/ste.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "core/base/check.h"
#include "quant/theory/integral.h"
#include "quant/theory/monte_carlo.h"
#include "quant/theory/teacher.h"
#include "tests/support/golden_point.h"
#include "tests/support/random_points.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
using namespace coarsegrad::test;

namespace {

constexpr double kPi = std::numbers::pi;
const double kSqrt2Pi = std::sqrt(2 * kPi);

// Those that the paper does not treat, in the order of the tables below.
const std::array<std::string, 8> kOthers{"hard_tanh",  "tanh",       "sigmoid",    "leaky_relu",
                                         "triangular", "polynomial", "swish_sign", "arctan"};

using Numbers = std::array<double, 4>;  // n, b, r, t

Numbers numbers(const Expectations& e, double theta) { return {e.n / e.over, e.b / e.over, e.r(theta), e.t(theta)}; }

double distance(const Numbers& a, const Numbers& b) {
  double worst = 0;
  for (std::size_t i = 0; i < 4; ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

double n_at(const Ste& s, double norm_w) {
  const Expectations e = s.expectations(norm_w, 1);
  return e.n / e.over;
}

// Largest distance of a mean from what is expected, in standard errors.
double worst_sigmas(const std::vector<Moments>& sampled, std::int64_t samples, const Vector& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    worst = std::max(
        worst, std::abs(sampled[i].mean - expected[i]) / std::sqrt(sampled[i].variance / static_cast<double>(samples)));
  return worst;
}

}  // namespace

TEST_SUITE("paper-ste") {
  TEST_CASE("paper-ste 9.4: golden point: the four numbers of the other surrogates") {
    const Numbers golden[] = {{0.1021718858174, 0, 0.01870656357979, 0.2183667851503},
                              {0.1081475717063, 0, 0.02691323452366, 0.1973353506431},
                              {0.0573254474461, 0, 0.01942631098616, 0.07070874257271},
                              {0.003989422804014, 0.3949528575974, 0.2827119813999, 0.1825469526856},
                              {0.03608389322763, 0, 0.004979058935901, 0.1155715767749},
                              {0.07216778645526, 0, 0.009958117871802, 0.2311431535499},
                              {0.009616764941484, 0, -0.005385317238125, 0.2536760726363},
                              {0.0895358734653, 0, 0.02410191148096, 0.1668635571234}};
    const double theta = angle(kGoldenPoint.w, golden_model().w_star());
    for (std::size_t k = 0; k < kOthers.size(); ++k) {
      CAPTURE(kOthers[k]);
      const Ste s = ste(kOthers[k]);
      CHECK(distance(numbers(s.expectations(1.3, theta), theta), golden[k]) < (s.closed_form() ? 1e-12 : 1e-10));
      CHECK(distance(numbers(quadrature(s.surrogate(), 1.3, theta), theta), golden[k]) < 1e-10);
    }
  }

  TEST_CASE("paper-ste 9.4: golden point: expected coarse gradients and correlations of the other surrogates") {
    const Vector golden[] = {{0.199750050639, -0.05546015167281, 0.5278774536112, 0.0903742496482},
                             {0.2014056756676, -0.07797736560084, 0.5606124430127, 0.08167008655255},
                             {0.09636382550669, -0.06020281918569, 0.297663797254, 0.02926383492424},
                             {0.3709012412694, -0.3182523682068, 1.256955882024, 0.07554969435102},
                             {0.08306997720382, 0.0008456204598433, 0.1887870073032, 0.04783096717069},
                             {0.1661399544076, 0.001691240919687, 0.3775740146065, 0.09566193434138},
                             {0.09520599557613, 0.1180295257972, 0.06586145672042, 0.104987508528},
                             {0.1682216606451, -0.06315812712664, 0.4657099592087, 0.06905889445719}};
    const double correlations[] = {0.01503785477759,  0.01358952252474, 0.004869366014535, 0.0125711177306,
                                   0.007958850457784, 0.01591770091557, 0.01746943308355,  0.01149107881936};
    for (std::size_t k = 0; k < kOthers.size(); ++k) {
      CAPTURE(kOthers[k]);
      const Ste s = ste(kOthers[k]);
      const double tolerance = s.closed_form() ? 1e-12 : 1e-10;
      CHECK(distance(golden_model().coarse_gradient(s, kGoldenPoint.v, kGoldenPoint.w), golden[k]) < tolerance);
      CHECK(std::abs(golden_model().correlation(s, kGoldenPoint.v, kGoldenPoint.w) - correlations[k]) < tolerance);
    }
  }

  TEST_CASE("paper-ste 9.4: r and t of the other surrogates at short and long filters, small and large angles") {
    struct Row {
      double norm_w, theta;
      double r[8], t[8];
    };
    const Row rows[] = {
        {0.3,
         2.4,
         {-0.292635438, -0.241928328, -0.069720712, 0.048916776, -0.167559767, -0.335119534, -0.261556430,
          -0.204139316},
         {0.269470605, 0.259222105, 0.066689934, 0.136082765, 0.225902116, 0.451804231, 0.938859487, 0.247896848}},
        {1,
         1,
         {0.049015557, 0.057086672, 0.032475949, 0.306328893, 0.013689159, 0.027378319, -0.011064523, 0.045844907},
         {0.256917408, 0.224070531, 0.072673823, 0.169527669, 0.142769127, 0.285538254, 0.336121155, 0.190411008}},
        {4,
         0.6,
         {0.002347160, 0.005076146, 0.007113114, 0.363753371, 0.000593066, 0.001186132, -0.000876827, 0.009334787},
         {0.077052183, 0.074039221, 0.031610353, 0.113756177, 0.039151261, 0.078302521, 0.080525765, 0.064423868}},
        {30,
         3.1,
         {-0.000088733, -0.000180070, -0.000248426, -0.003815185, -0.000022642, -0.000045284, 0.000031714,
          -0.000600329},
         {0.009575542, 0.008709674, 0.003174908, 0.008377084, 0.005038312, 0.010076624, 0.010960842, 0.007370187}}};
    for (const Row& row : rows)
      for (std::size_t k = 0; k < kOthers.size(); ++k) {
        CAPTURE(row.norm_w);
        CAPTURE(kOthers[k]);
        const Expectations e = ste(kOthers[k]).expectations(row.norm_w, row.theta);
        CHECK(std::abs(e.r(row.theta) - row.r[k]) < 1e-9);
        CHECK(std::abs(e.t(row.theta) - row.t[k]) < 1e-9);
      }
  }

  TEST_CASE("paper-ste 9.4: drift of the other surrogates at the spurious minimum") {
    const double lengths[] = {0.108875471160, 0.104536762264, 0.047602810608, 0.002767063657,
                              0.039949649813, 0.079899299627, 0.016648210512, 0.083220306552};
    const double over_kappa[] = {0.393469340, 0.377789510, 0.172033666, 0.010000000,
                                 0.144375608, 0.288751216, 0.060165622, 0.300753134};
    const TwoLayer& model = reference_model();
    for (std::size_t k = 0; k < kOthers.size(); ++k) {
      CAPTURE(kOthers[k]);
      const Vector g = model.coarse_gradient(ste(kOthers[k]), model.spurious_minimum().v, reference_filter(kPi, 1));
      CHECK(std::abs(norm(g) - lengths[k]) < 1e-11);
      CHECK(std::abs(norm(g) / model.identity_drift() - over_kappa[k]) < 1e-8);
      CHECK(g[0] < 0);  // along w = -w*
    }
  }

  TEST_CASE("paper-ste 9.3: closed forms equal quadrature for every length and angle") {
    for (const Surrogate* s : all_surrogates()) {
      const Ste by_form(*s);
      if (!by_form.closed_form()) continue;
      double worst = 0;
      for (const double norm_w : {0.05, 0.3, 1.0, 1.3, 4.0, 30.0})
        for (const double theta : {0.0, 1e-9, 0.05, 0.6, 1.13395787725604, 1.5707, 1.58, 2.4, 3.1, kPi - 1e-9, kPi})
          worst = std::max(worst, distance(numbers(by_form.expectations(norm_w, theta), theta),
                                           numbers(quadrature(*s, norm_w, theta), theta)));
      CAPTURE(s->name());
      CHECK(worst < 2e-12);
    }
    int forms = 0;
    for (const Surrogate* s : all_surrogates()) forms += Ste(*s).closed_form() != nullptr;
    CHECK(forms == 8);
    CHECK(ste("tanh").closed_form() == nullptr);
  }

  TEST_CASE("paper-ste 9.3: the series and fractions of closed forms meet where they take over from each other") {
    const auto jump = [](const char* name, double norm_w) {
      const Ste s = ste(name);
      double worst = 0;
      for (const double theta : {0.4, 2.0})
        worst = std::max(worst, distance(numbers(s.expectations(norm_w * (1 - 1e-13), theta), theta),
                                         numbers(s.expectations(norm_w * (1 + 1e-13), theta), theta)));
      return worst;
    };
    CHECK(jump("triangular", 10) < 1e-13);                    // T = 0.1
    CHECK(jump("arctan", 2 / (kPi * std::sqrt(2))) < 1e-13);  // beta^2 / 2 = 1
    for (const double theta : {0.4, 2.0}) {                   // beta / (sqrt(2) sin(theta)) = 2
      const double norm_w = 2 / (kPi * 2 * std::sqrt(2) * std::sin(theta));
      CHECK(jump("arctan", norm_w) < 1e-13);
    }
  }

  TEST_CASE("paper-ste 9.1: Monte Carlo means of every surrogate equal the expected coarse gradient") {
    struct Row {
      int m, n;
      double norm_w, theta;
    };
    constexpr std::int64_t kSamples = 300000;
    const std::vector<const Surrogate*> surrogates = all_surrogates();
    const Row rows[] = {{3, 4, 1, .8}, {2, 3, .3, 2.2}, {4, 3, 3, 1.5}, {1, 2, .7, 2.9}};
    double worst = 0;
    for (std::uint64_t i = 0; i < 4; ++i) {
      const auto& [m, n, norm_w, theta] = rows[i];
      const Rng rng = Rng(71).split(i);
      const TwoLayer model(normal_vector(m, rng.split("v*")), random_unit_vector(n, rng.split("w*")));
      const Vector w_perp = random_orthogonal(model.w_star(), rng.split("w_perp"));
      const Point point{normal_vector(m, rng.split("v")), filter_at(model.w_star(), w_perp, theta, norm_w)};
      const Vector zero(static_cast<std::size_t>(n));
      const MonteCarlo drawn = sample_coarse_gradients(model, point, surrogates, {zero, zero}, kSamples, rng);
      for (std::size_t k = 0; k < surrogates.size(); ++k) {
        CAPTURE(surrogates[k]->name());
        const Vector expected = model.coarse_gradient(Ste(*surrogates[k]), point.v, point.w);
        const double z = worst_sigmas(drawn.coarse[k].component, kSamples, expected);
        CHECK(z < 5);
        worst = std::max(worst, z);
      }
      // It can fail: tanh is not arctan.
      CHECK(worst_sigmas(drawn.coarse[4].component, kSamples, model.coarse_gradient(ste("arctan"), point.v, point.w)) >
            5);
    }
    CHECK(surrogates[4]->name() == "tanh");
    MESSAGE("N = 300000, largest deviation " << worst << " SE");
  }

  TEST_CASE("paper-ste 9.1: at critical points what is left of a coarse gradient is n, and the correlation is t") {
    const TwoLayer& model = reference_model();
    const Critical spurious = model.spurious_minimum(), saddle = *model.saddle();
    for (const Surrogate* s : all_surrogates()) {
      CAPTURE(s->name());
      const Ste any(*s);
      for (const double norm_w : {0.3, 1.0, 5.0}) {
        const double n = n_at(any, norm_w);
        const Vector w = reference_filter(kPi, norm_w), w_saddle = reference_filter(saddle.theta, norm_w);
        CHECK(distance(model.coarse_gradient(any, spurious.v, w),
                       combine(kSqrt2Pi * n * model.identity_drift() / norm_w, w, 0, w)) < 1e-12);
        CHECK(distance(model.coarse_gradient(any, saddle.v, w_saddle),
                       combine(n * dot(saddle.v, saddle.v) / norm_w, w_saddle, 0, w_saddle)) < 1e-12);
        CHECK(norm(model.coarse_gradient(any, model.v_star(), reference_filter(0, norm_w))) < 1e-12);
        for (const double theta : {0.3, 1.5, 2.8}) {
          const Vector v{.5, -1, 2, .3}, at = reference_filter(theta, norm_w);
          const double t = any.expectations(norm_w, theta).t(theta), cross = dot(v, model.v_star());
          const double expected = dot(model.coarse_gradient(any, v, at), model.grad_w(v, at));
          CHECK(t > 0);
          CHECK(std::abs(expected - cross * cross * t / (2 * kPi * norm_w)) < 1e-12);
          CHECK(std::abs(model.correlation(any, v, at) - expected) < 1e-12);
        }
      }
    }
  }

  TEST_CASE("paper-ste 9.1: ReLU and clipped ReLU alone can stay at the spurious minimum") {
    for (const char* name : {"relu", "clipped_relu"})
      for (const double norm_w : {0.03, 1.0, 30.0}) CHECK(n_at(ste(name), norm_w) == 0);
    for (const std::string& name : kOthers) {
      CAPTURE(name);
      for (int i = 0; i <= 30; ++i) CHECK(n_at(ste(name), std::pow(10, -1.5 + 0.1 * i)) > 0);
      CHECK(std::isinf(golden_model().bound_constant(ste(name), kGoldenPoint.v, kGoldenPoint.w)));
      CHECK(golden_model().safe_step(ste(name), kGoldenPoint.v, kGoldenPoint.w) == 0);
    }
    // n of swish_sign falls like |w|^-4
    CHECK(n_at(ste("swish_sign"), 20) / n_at(ste("swish_sign"), 10) == doctest::Approx(1.0 / 16).epsilon(0.02));
  }

  TEST_CASE("paper-ste 9.1: limits for short and for long filters") {
    const double at_zero[] = {1, 1, 0.25, -1, 1, 2, 5, 1};  // mu'(0)
    const double area[] = {2, 2, 1, -1, 1, 2, 2, 2};        // integral of mu'; leaky_relu does not depend on |w|
    for (std::size_t k = 0; k < kOthers.size(); ++k) {
      if (kOthers[k] == "leaky_relu") continue;
      CAPTURE(kOthers[k]);
      const Ste s = ste(kOthers[k]);
      for (const double theta : {0.5, 1.2, 2.7}) {
        const double scale = at_zero[k] / kSqrt2Pi;
        const Numbers limit{scale, 0, scale * std::cos(theta), scale * std::sin(theta)};
        CHECK(distance(numbers(s.expectations(1e-9, theta), theta), limit) < 1e-8);
        CHECK(2 * kPi * 1e4 * s.expectations(1e4, theta).t(theta) == doctest::Approx(area[k]).epsilon(3e-3));
      }
    }
  }

  TEST_CASE("paper-ste 9.3: sigmoid is a quarter of tanh at half the length, swish_sign comes from tanh's slope") {
    for (const double norm_w : {0.3, 1.3, 4.0})
      for (const double theta : {0.6, 2.0}) {
        const auto at = [theta](const char* name, double length) {
          return numbers(ste(name).expectations(length, theta), theta);
        };
        const Numbers half = at("tanh", norm_w / 2), sigmoid = at("sigmoid", norm_w), swish = at("swish_sign", norm_w);
        const double scaled = 2.5 * norm_w, step = 1e-4;
        const Numbers middle = at("tanh", scaled), up = at("tanh", scaled * (1 + step)),
                      down = at("tanh", scaled * (1 - step));
        for (std::size_t i = 0; i < 4; ++i) {
          CHECK(std::abs(sigmoid[i] - half[i] / 4) < 1e-13);
          CHECK(std::abs(swish[i] - 2.5 * (2 * middle[i] + (up[i] - down[i]) / (2 * step))) < 1e-7);
        }
      }
  }
}

TEST_SUITE("theory") {
  TEST_CASE("a surrogate of one's own has expectations by quadrature, wherever its kinks and jumps are") {
    // 1 between -0.37 and 0.81: a sum of error functions.
    const Surrogate band(
        "band", [](auto x, auto) { return x; },
        [](auto x, auto) { return decltype(x)(x > decltype(x)(-0.37) && x < decltype(x)(0.81) ? 1 : 0); });
    const Ste own(band);
    CHECK(own.closed_form() == nullptr);
    for (const double norm_w : {0.2, 1.0, 9.0})
      for (const double theta : {0.3, 2.0}) {
        const double low = 0.37 / norm_w, high = 0.81 / norm_w, s = std::sin(theta) * std::numbers::sqrt2;
        const Numbers found = numbers(own.expectations(norm_w, theta), theta);
        CHECK(std::abs(found[0] + std::expm1(-0.5 * low * low) / kSqrt2Pi) < 1e-13);
        CHECK(std::abs(found[1] - (std::exp(-0.5 * low * low) - std::exp(-0.5 * high * high)) / kSqrt2Pi) < 1e-13);
        const double mean = 0.5 * (std::erf(low / s) + std::erf(high / s));
        CHECK(std::abs(found[3] - std::sin(theta) * mean / kSqrt2Pi) < 1e-13);
      }
  }

  TEST_CASE("a surrogate that only bears the name of a shipped one does not get its closed form") {
    const Surrogate other(
        "relu", [](auto x, auto) { return 2 * x; }, [](auto x, auto) { return decltype(x)(2); });
    CHECK(Ste(other).closed_form() == nullptr);
    CHECK(std::abs(n_at(Ste(other), 1) - 2 / kSqrt2Pi) < 1e-13);
    CHECK(std::abs(n_at(Ste(surrogate("relu")), 1)) == 0);
  }

  TEST_CASE("a surrogate of one's own may declare its closed form, once, and gets the bound that follows from it") {
    static const Surrogate twice(
        "twice_relu", [](auto x, auto) { return x > 0 ? 2 * x : x * 0; },
        [](auto x, auto) { return decltype(x)(x > 0 ? 2 : 0); });
    const double by_quadrature = golden_model().bound_constant(Ste(twice), kGoldenPoint.v, kGoldenPoint.w);
    CHECK(by_quadrature > 0);
    CHECK(by_quadrature <= 4 * golden_model().bound_constant(ste("relu"), kGoldenPoint.v, kGoldenPoint.w) + 1e-12);
    declare_closed_form(twice, {[](double, double) { return Expectations{0, 2, 1, 1, kSqrt2Pi}; }});
    CHECK(Ste(twice).closed_form() != nullptr);
    const Vector g = golden_model().coarse_gradient(ste("relu"), kGoldenPoint.v, kGoldenPoint.w);
    CHECK(distance(golden_model().coarse_gradient(Ste(twice), kGoldenPoint.v, kGoldenPoint.w), combine(2, g, 0, g)) <
          1e-15);
    CHECK(golden_model().bound_constant(Ste(twice), kGoldenPoint.v, kGoldenPoint.w) ==
          doctest::Approx(by_quadrature).epsilon(1e-12));
    CHECK_THROWS_AS(declare_closed_form(twice, {}), UsageError);
    CHECK_THROWS_AS(ste("no_such_surrogate"), UsageError);
  }

  TEST_CASE("integrals of smooth functions, kinks, jumps and noise") {
    const double unit[] = {0, 1}, pieces[] = {-3, 0.5, 7};
    CHECK(std::abs(integral([](double x) { return std::exp(x); }, unit) - std::expm1(1.0)) < 1e-15);
    CHECK(std::abs(integral([](double x) { return std::abs(x - 0.1234); }, pieces) -
                   (std::pow(3.1234, 2) + std::pow(6.8766, 2)) / 2) < 1e-12);
    CHECK(std::abs(integral([](double x) { return x > 0.777 ? 1.0 : 0.0; }, unit) - 0.223) < 1e-14);
    CHECK(integral([](double) { return 0.0; }, unit) == 0);
    CHECK(std::isnan(integral([](double) { return std::nan(""); }, unit)));
    // Noise is not resolved, but does not keep it for ever either.
    CHECK(std::abs(integral([](double x) { return static_cast<double>(std::sin(static_cast<float>(1e6 * x))); },
                            unit)) < 0.2);
    CHECK_THROWS_AS(integral([](double x) { return x; }, std::span(unit, 1)), Error);
  }
}
