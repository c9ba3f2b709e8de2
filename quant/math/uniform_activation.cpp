#include "quant/math/uniform_activation.h"

#include <numbers>

#include "core/base/check.h"

namespace coarsegrad {
namespace {

// One round of the alternation, exactly: with t_k = (k - 1/2) alpha, E[k x] = sum of E[x; x > t_k] and
// E[k^2] = sum of (2k - 1) P(x > t_k) under the half-Gaussian density sqrt(2/pi) exp(-x^2/2).
double lloyd_round(double alpha, int top) {
  double code_times_x = 0, code_squared = 0;
  for (int k = 1; k <= top; ++k) {
    const double t = (k - 0.5) * alpha;
    code_times_x += std::sqrt(2 / std::numbers::pi) * std::exp(-0.5 * t * t);
    code_squared += (2 * k - 1) * std::erfc(t / std::numbers::sqrt2);
  }
  return code_times_x / code_squared;
}

}  // namespace

int highest_level(int bits) {
  check_usage(bits >= 1 && bits <= 8, "bits of an activation: given ", bits, ", expected 1 to 8");
  return (1 << bits) - 1;
}

AlphaRule alpha_rule(std::string_view name) {
  for (const AlphaRule rule : {AlphaRule::exact, AlphaRule::three_valued, AlphaRule::pact})
    if (name_of(rule) == name) return rule;
  throw UsageError(cat("alpha rule: given '", name, "', expected exact, three_valued or pact"));
}

std::string name_of(AlphaRule rule) {
  return rule == AlphaRule::exact ? "exact" : rule == AlphaRule::pact ? "pact" : "three_valued";
}

std::vector<std::string> alpha_rule_names() { return {"exact", "three_valued", "pact"}; }

double half_gaussian_alpha(int bits) {
  switch (bits) {
    case 1:
      return 1.2221;
    case 2:
      return 0.6511;
    case 4:
      return 0.1946;
    default:
      return lloyd_alpha(bits);
  }
}

double lloyd_alpha(int bits) {
  const int top = highest_level(bits);
  double alpha = 3.0 / top;
  for (double change = 1; change > 1e-10;) {
    const double next = lloyd_round(alpha, top);
    change = std::abs(next - alpha);
    alpha = next;
  }
  return alpha;
}

}  // namespace coarsegrad
