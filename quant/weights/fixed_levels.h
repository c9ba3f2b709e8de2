#pragma once
// Weights on fixed levels of 1 to 3 bits (quant/math/level_set.h).
#include "quant/math/level_set.h"
#include "quant/weights/power_of_two.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of `fixed_levels`.
struct FixedLevelsOptions {
  int bits = 2;                     ///< 1 to 3
  LevelThresholds thresholds = {};  ///< of 2 and 3 bits
};
void describe(OptionVisitor& v, FixedLevelsOptions& o);

/// "fixed_levels": the hard quantizer of the level set, without a scale; the gradient goes straight through. With 1 bit
/// 0 becomes -1. Throws UsageError for options out of range.
std::unique_ptr<WeightProjection> fixed_levels(const FixedLevelsOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
