#pragma once
// Kernels for the projection of weights onto a grid: |w| is compared with ascending thresholds, the code is
// the number of them that it reaches, with the sign of w. Sums are kept in sixteen doubles, element i in
// number i % 16, which are added up from the first to the last: all tables give the same bits.
#include <cstdint>

namespace coarsegrad::kernels {

/// Magnitudes, codes and values of n weights.
template <class T>
struct Projection {
  /// sum = sum of |x|, NaN if one is NaN; max = largest |x|, NaN passed over, 0 without elements.
  void (*magnitude)(std::int64_t n, const T* x, double* sum, T* max);
  /// codes = sign(x) * number of thresholds <= |x|, with sign(0) = +1; 0 for NaN. 1 <= levels <= 127
  /// thresholds, ascending, >= 0. sum = sum of |x| |code|, NaN if some x is NaN; squares = sum of code^2. At
  /// most 2^20 elements.
  void (*encode)(std::int64_t n, const T* x, int levels, const T* thresholds, std::int8_t* codes, double* sum,
                 std::int64_t* squares);
  /// y = scale * codes.
  void (*decode)(std::int64_t n, const std::int8_t* codes, T scale, T* y);
};

}  // namespace coarsegrad::kernels
