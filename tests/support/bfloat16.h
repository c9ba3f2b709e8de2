#pragma once
// For tests of bfloat16: arrays of it, from floats and back, element by element.
#include <vector>

#include "core/kernels/bfloat16.h"

namespace coarsegrad::testing {

using Halves = std::vector<Bfloat16>;

inline Halves rounded(const std::vector<float>& x) {
  Halves y;
  for (const float v : x) y.push_back(to_bfloat16(v));
  return y;
}

inline std::vector<float> widened(const Halves& x) {
  std::vector<float> y;
  for (const Bfloat16 v : x) y.push_back(to_float(v));
  return y;
}

/// The floats that are left of x.
inline std::vector<float> rounded_floats(const std::vector<float>& x) { return widened(rounded(x)); }

}  // namespace coarsegrad::testing
