#pragma once
// LSQ: grids with a learned step s (Esser, McKinstry, Bablani, Appuswamy, Modha: Learned step size
// quantization, arXiv 1902.08153, section 2):
//   v_hat = s round(min(max(v / s, -Q_N), Q_P))                     (equations 1 and 2, numbers unverified)
//   dv_hat/ds = round(v / s) - v / s for -Q_N < v / s < Q_P, -Q_N below, Q_P above
//                                                                   (equation 3, number unverified)
//   dv_hat/dv = 1 for -Q_N < v / s < Q_P, 0 elsewhere               (equation 5, number unverified)
// The gradient of s is multiplied by 1 / sqrt(N Q_P) (section 2.2), and s starts at 2 mean|v| / sqrt(Q_P)
// (section 2.1). Rounding goes to the even one of two integers. Steps take no weight decay. A step starts
// from the first tensor whose mean is finite and not 0; until then it is 0, which stands for none, and gets
// no gradient.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace coarsegrad {

/// The range that steps are kept in: they and the values of all codes are normal numbers.
template <class T>
inline constexpr double kLeastStep = std::numeric_limits<T>::min();
template <class T>
inline constexpr double kMostStep = std::numeric_limits<T>::max() / 256;

/// s at the start from the mean of |v|; 0, which stands for none, where the mean is 0 or not finite.
template <class T>
double step_at_start(double mean_size, int q_p) {
  if (!std::isfinite(mean_size) || mean_size < kLeastStep<T>) return 0;
  return std::clamp(2 * mean_size / std::sqrt(q_p), kLeastStep<T>, kMostStep<T>);
}

/// 1 / sqrt(N Q_P), what the gradient of s is multiplied by, for N elements.
template <class T>
T step_gradient_scale(std::int64_t elements, int q_p) {
  return static_cast<T>(1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(elements, 1)) * q_p));
}

}  // namespace coarsegrad
