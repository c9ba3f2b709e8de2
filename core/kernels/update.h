#pragma once
// Kernels for optimizer steps: one sweep over weight, gradient and state. The operations are done in the
// order written here, each rounded by itself, so that every table gives the same bits.
#include <cstdint>

namespace coarsegrad::kernels {

/// Constants of one step of Update::sgd.
template <class T>
struct SgdStep {
  T rate,            ///< learning rate
      momentum,      ///< 0 to 1
      weight_decay;  ///< factor of w in the gradient
  bool nesterov,     ///< look ahead by one momentum step
      first;         ///< there is no state yet
};

/// Constants of one step of Update::adam, the t-th one of a parameter.
template <class T>
struct AdamStep {
  T beta1,              ///< weight of the old mean of the gradient
      beta2,            ///< weight of the old mean of its square
      one_minus_beta1,  ///< rounded once, from beta1 in double
      one_minus_beta2,  ///< rounded once, from beta2 in double
      epsilon,          ///< added to the root of the mean square
      weight_decay;     ///< factor of w in the gradient
  T step_size;          ///< rate / (1 - beta1^t)
  T sqrt_correction2;   ///< sqrt(1 - beta2^t)
};

/// One step of an update rule over n elements.
template <class T>
struct Update {
  /// d = g + weight_decay * w; buf = first ? d : momentum * buf + d; d = nesterov ? d + momentum * buf : buf;
  /// w = w - rate * d. With momentum 0 buf is not touched and may be null, and w = w - rate * d at once.
  void (*sgd)(std::int64_t n, const SgdStep<T>& step, const T* g, T* w, T* buf);
  /// d = g + weight_decay * w; m = beta1 * m + (1 - beta1) * d; v = beta2 * v + (1 - beta2) * d * d;
  /// w = w - step_size * m / (sqrt(v) / sqrt_correction2 + epsilon), products and quotients from the left.
  void (*adam)(std::int64_t n, const AdamStep<T>& step, const T* g, T* w, T* m, T* v);
};

}  // namespace coarsegrad::kernels
