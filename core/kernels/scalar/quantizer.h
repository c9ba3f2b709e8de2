#pragma once
// One element of the activation quantizer, as the reference kernels have it.
#include <cmath>

#include "core/kernels/activation.h"

namespace coarsegrad::kernels::scalar {

template <class T>
T quotient(T x, Quantizer<T> quantizer) {
  return x * quantizer.steps / quantizer.alpha;
}

/// The code of a quotient; 0 for NaN.
template <class T>
int code_of(T q, Quantizer<T> quantizer) {
  if (std::isnan(q)) return 0;
  if (quantizer.rounding == Rounding::sign) return q >= 0 ? 1 : -1;
  if (!(q > 0)) return 0;
  if (q > static_cast<T>(quantizer.levels)) return quantizer.levels;
  return static_cast<int>(quantizer.rounding == Rounding::up ? std::ceil(q) : std::nearbyint(q));
}

}  // namespace coarsegrad::kernels::scalar
