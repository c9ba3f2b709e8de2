#pragma once
// What a setting may be. Settings are doubles, whatever Real is: one that no Real can hold, or that is no number
// at all, is refused where it is set and not found in a network later.
#include <algorithm>
#include <limits>

#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// least <= value <= most, where most is the largest finite Real unless said. NaN is in no range.
constexpr bool in_range(double value, double least, double most = std::numeric_limits<Real>::max()) {
  return value >= least && value <= most;
}

/// in_range() of the normal numbers above 0: what one may divide by.
constexpr bool is_positive(double value) { return in_range(value, std::numeric_limits<Real>::min()); }

/// The value as a Real; one beyond the finite ones is the last of them. NaN stays.
constexpr Real to_finite(double value) {
  constexpr double most = std::numeric_limits<Real>::max();
  return static_cast<Real>(std::clamp(value, -most, most));
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
