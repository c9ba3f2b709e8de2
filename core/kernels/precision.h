#pragma once
// Kernels between float and bfloat16 (core/kernels/bfloat16.h). All tables give the same bits.
#include <cstdint>

#include "core/kernels/bfloat16.h"

namespace coarsegrad::kernels {

/// Over arrays of n elements.
struct Precision {
  /// y = x.
  void (*widen)(std::int64_t n, const Bfloat16* x, float* y);
  /// y = the bfloat16 nearest to x, as to_bfloat16() has it.
  void (*round)(std::int64_t n, const float* x, Bfloat16* y);
  /// The same, left as floats. y may be x.
  void (*round_values)(std::int64_t n, const float* x, float* y);
};

}  // namespace coarsegrad::kernels
