#pragma once
// The uniform b-bit activation quantizer of both coarse-gradient papers, as scalar mathematics:
//   sigma(x, alpha) = 0 for x <= 0;  k alpha for (k-1) alpha < x <= k alpha;  K alpha for x > K alpha,
// with K = 2^b - 1; that is, round up and saturate. Its derivative with respect to x is replaced by that of
// a surrogate at x / alpha with window K (quant/math/surrogate.h); the alpha rules are below. T is float or
// double. Sources: Yin et al., "Understanding straight-through estimator" (ICLR 2019), section 4; Yin et
// al., "Blended coarse gradient descent for full quantization of deep neural networks" (2018), section 2.
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernels/activation.h"

namespace coarsegrad {

/// K = 2^bits - 1, the highest level. Throws UsageError unless 1 <= bits <= 8.
int highest_level(int bits);

/// The level k = min(K, ceil(x / alpha)) of x, 0 for x <= 0; `top` is K. alpha > 0. NaN stays NaN. A value
/// k alpha is rounded, and its quotient may lie above k: quantizing it once more then gives k + 1 (0.1f * 13
/// becomes 1.4f), as for a share of all k and float alpha of 2.7 % at 3 bits, 4.1 % at 4 and 5.6 % at 8; none
/// at 1 and 2 bits.
template <class T>
T activation_level(T x, T alpha, T top) {
  if (x <= 0) return 0;
  const T level = std::ceil(x / alpha);  // a quotient, as in deployment: no 1 / alpha, which moves thresholds
  return level > top ? top : level;
}

/// sigma(x, alpha).
template <class T>
T uniform_activation(T x, T alpha, T top) {
  return alpha * activation_level(x, alpha, top);
}

/// Alpha rule: what stands for the derivative of sigma with respect to alpha. Each rule has 0 for x <= 0 and K for
/// x > K alpha, and between them the level k (exact: the derivative almost everywhere), (K + 1) / 2 = 2^(b-1)
/// (three_valued: the mean of the levels 1 to K), or 0 (pact).
using kernels::AlphaRule;
/// The alpha rule of that name. Throws UsageError for an unknown name.
AlphaRule alpha_rule(std::string_view name);
/// The name that alpha_rule() takes.
std::string name_of(AlphaRule rule);
/// "exact", "three_valued", "pact".
std::vector<std::string> alpha_rule_names();

/// What the alpha rule puts for d sigma / d alpha at x.
template <class T>
T alpha_derivative(AlphaRule rule, T x, T alpha, T top) {
  if (x <= 0) return 0;
  if (rule == AlphaRule::exact) return activation_level(x, alpha, top);
  if (activation_level(x, alpha, top + 1) > top) return top;
  return rule == AlphaRule::three_valued ? (top + 1) / 2 : 0;
}

/// The resolution for a pre-activation that is N(0,1), as behind a batch normalisation without affine part:
/// the values of the authors' code for 1, 2 and 4 bits (1.2221, 0.6511, 0.1946), lloyd_alpha(bits) for the others.
double half_gaussian_alpha(int bits);
/// The fixed point of Lloyd's alternation on the half-Gaussian: codes k = min(K, round(x / alpha)), then
/// alpha = E[k x] / E[k^2]. Nearest rounding, as the authors fitted it, although the forward pass rounds up.
double lloyd_alpha(int bits);

}  // namespace coarsegrad
