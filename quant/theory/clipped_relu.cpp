#include "quant/theory/clipped_relu.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace coarsegrad::theory {
namespace {

const double kSqrt2Pi = std::sqrt(2 * std::numbers::pi);

// 1 / (sqrt(2) |w| sin(theta)), the argument of every error function here.
double reach(double sine, double norm_w) {
  return sine > 0 ? 1 / (std::numbers::sqrt2 * norm_w * sine) : std::numeric_limits<double>::infinity();
}

}  // namespace

double clipped_p_at_zero(double norm_w) { return -std::expm1(-0.5 / (norm_w * norm_w)) / kSqrt2Pi; }

double clipped_q_over_sin(double theta, double norm_w) {
  return std::erf(reach(std::sin(theta), norm_w)) / (2 * kSqrt2Pi);
}

double clipped_q(double theta, double norm_w) {
  const double sine = std::sin(theta);
  return sine > 0 ? sine * clipped_q_over_sin(theta, norm_w) : 0;
}

// One form for each half of [0, pi]: beyond pi/2 it works with complements, so that nothing of order one cancels.
double clipped_p(double theta, double norm_w) {
  const double sine = std::sin(theta), cosine = std::cos(theta);
  if (theta <= 0) return clipped_p_at_zero(norm_w);
  if (sine <= 0 || theta >= std::numbers::pi) return 0;
  const double tau = 1 / norm_w, decay = std::exp(-0.5 * tau * tau);
  const double a = reach(sine, norm_w), b = std::abs(cosine) * a;
  if (cosine >= 0) return 0.5 * (-std::expm1(-0.5 * tau * tau) + cosine * std::erf(a) - decay * std::erf(b)) / kSqrt2Pi;
  const double half = std::sin(0.5 * (std::numbers::pi - theta));
  return 0.5 * (2 * half * half - cosine * std::erfc(a) - decay * std::erfc(b)) / kSqrt2Pi;
}

}  // namespace coarsegrad::theory
