#include "quant/theory/closed_forms.h"

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "quant/theory/clipped_relu.h"
#include "quant/theory/integral.h"

namespace coarsegrad::theory {
namespace {

using std::numbers::pi, std::numbers::sqrt2;
const double kSqrt2Pi = std::sqrt(2 * pi);
// Below this sine w counts as lying on the line of w*.
constexpr double kOnTheLine = 1e-14;
constexpr double kLeak = 0.01;  // slope of leaky_relu below 0

// 1 / (|w| sin(theta)), infinite on the line of w*.
double reach(double norm_w, double theta) {
  const double sine = std::sin(theta);
  return sine > 0 ? 1 / (norm_w * sine) : std::numeric_limits<double>::infinity();
}

// From 0 to `angle`, which may be negative, the integral of a function that is even in x and may be steep near
// +-pi/2: the panels become shorter towards there.
double integral_to(double angle, const std::function<double(double)>& f) {
  constexpr std::size_t kPanels = 8;
  std::array<double, kPanels + 1> ends;
  const double length = std::abs(angle);
  for (std::size_t i = 0; i < kPanels; ++i) ends[i] = length * (1 - std::ldexp(1.0, -static_cast<int>(i)));
  ends[kPanels] = length;
  return angle < 0 ? -integral(f, ends) : integral(f, ends);
}

Expectations identity(double, double) { return {1, 0, 0, 1, kSqrt2Pi}; }

Expectations relu(double, double) { return {0, 1, 0.5, 0.5, kSqrt2Pi}; }

Expectations clipped_relu(double norm_w, double theta) {
  const double slope = std::sin(theta) > kOnTheLine ? clipped_q_over_sin(theta, norm_w) : 0;
  return {0, clipped_p_at_zero(norm_w), clipped_p(theta, norm_w) - slope * std::cos(theta), slope};
}

// kLeak times the identity and 1 - kLeak times the ReLU.
Expectations leaky_relu(double, double) { return {kLeak, 1 - kLeak, (1 - kLeak) / 2, (1 + kLeak) / 2, kSqrt2Pi}; }

// The even part of the clipped ReLU, twice.
Expectations hard_tanh(double norm_w, double theta) {
  const double t = 1 / norm_w, x = reach(norm_w, theta) / sqrt2;
  const double decay = std::exp(-0.5 * t * t), side = std::cos(theta) * x;
  return {-std::expm1(-0.5 * t * t), 0, -decay * std::erf(side), std::erf(x), kSqrt2Pi};
}

// 1/sqrt(2 pi) - erf(T / sqrt 2) / (2 T), with the series sum (-1)^(j+1) T^(2j) / (2^j j! (2j + 1)) where it cancels.
double triangular_n(double t) {
  if (t >= 0.1) return 1 / kSqrt2Pi - std::erf(t / sqrt2) / (2 * t);
  double sum = 0, term = -1;
  for (int j = 1; j <= 6; ++j) {
    term *= -t * t / (2 * j);
    sum += term / (2 * j + 1);
  }
  return sum / kSqrt2Pi;
}

// along = -(psi / pi - 2 O) / T with Owen's function O(T, tan psi) = 1/(2 pi) int_0^psi exp(-T^2 / (2 cos^2 x)) dx and
// psi = pi/2 - theta, the difference under the integral.
Expectations triangular(double norm_w, double theta) {
  const double t = 1 / norm_w, x = reach(norm_w, theta);
  const double area = integral_to(pi / 2 - theta, [t](double at) {
    const double steep = t / std::cos(at);
    return std::expm1(-0.5 * steep * steep);
  });
  const double mean = std::isinf(x) ? 1 : std::erf(x / sqrt2) + 2 / kSqrt2Pi * std::expm1(-0.5 * x * x) / x;
  return {triangular_n(t), 0, area / (pi * t), mean / kSqrt2Pi};
}

Expectations polynomial(double norm_w, double theta) {
  const Expectations half = triangular(norm_w, theta);
  return {2 * half.n, 0, 2 * half.along, 2 * half.towards};
}

// 1 - sqrt(pi) x exp(x^2) erfc(x) for x >= 0, about 1 / (2 x^2) for large x: from 2 on as F / (x + F) with the continued
// fraction F = 1/2 / (x + 1 / (x + 3/2 / (x + ...))), which neither cancels nor overflows.
double scaled_erfc_rest(double x) {
  constexpr double kFractionFrom = 2;
  if (x < kFractionFrom) return 1 - std::sqrt(pi) * x * std::exp(x * x) * std::erfc(x);
  double f = 0;
  for (int k = 120; k >= 1; --k) f = 0.5 * k / (x + f);
  return f / (x + f);
}

// exp(x) E_1(x) for x > 0: from 1 on by the continued fraction 1 / (x + 1 / (1 + 1 / (x + 2 / (1 + 2 / (x + ...))))).
double scaled_exponential_integral(double x) {
  if (x < 1) return -std::exp(x) * std::expint(-x);
  double f = 0;
  for (int k = 200; k >= 1; --k) f = k / (1 + k / (x + f));
  return 1 / (x + f);
}

// With beta = 2 / (pi |w|). The integral of r is that of its definition in polar coordinates, inner one done.
Expectations arctan(double norm_w, double theta) {
  const double beta = 2 / (pi * norm_w), y = beta * beta / 2;
  const double x = beta / sqrt2 * reach(1, theta);
  // x exp(x^2) erfc(x) / sqrt(2), towards 1 / sqrt(2 pi)
  const double towards = std::isinf(x) ? 1 / kSqrt2Pi : (1 - scaled_erfc_rest(x)) / kSqrt2Pi;
  const double r = beta * beta / kSqrt2Pi * integral_to(pi / 2 - theta, [beta](double at) {
                     const double cosine = std::cos(at);
                     return scaled_erfc_rest(beta / (sqrt2 * cosine)) / cosine;
                   });
  const double n = y * scaled_exponential_integral(y) / kSqrt2Pi;
  return {n, 0, r - std::cos(theta) * towards, towards};
}

}  // namespace

std::vector<std::pair<std::string, ClosedForm>> shipped_closed_forms() {
  return {{"identity", {identity}},
          // (2 rho^2 + t^2) / t is largest at a right angle
          {"relu", {relu, 1 / (2 * kSqrt2Pi)}},
          {"clipped_relu", {clipped_relu}},
          {"hard_tanh", {hard_tanh}},
          {"leaky_relu", {leaky_relu}},
          {"triangular", {triangular}},
          {"polynomial", {polynomial}},
          {"arctan", {arctan}}};
}

}  // namespace coarsegrad::theory
