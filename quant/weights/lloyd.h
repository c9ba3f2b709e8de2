#pragma once
// Lloyd's alternation (quant/math/lloyd.h) as projections of weights, options.steps steps each time. With 1 bit, where
// a step changes nothing but the scale, they give the nearest point.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of `lloyd` and `warm_lloyd`.
struct LloydOptions {
  int bits = 4;              ///< 1 to 8
  int sign_of_zero = 1;      ///< with 1 bit: the code of 0, which is +1 or 0
  bool per_channel = false;  ///< a scale for each index of the first axis instead of one for the tensor
  int steps = 1;             ///< of the alternation in each projection, 1 or more
};
void describe(OptionVisitor& v, LloydOptions& o);

/// "lloyd": from delta = 2 max|w| / (2^bits - 1), in every projection anew (Yin et al.: Blended coarse
/// gradient descent, 2018, section 3). Throws UsageError for options out of range.
std::unique_ptr<WeightProjection> lloyd_projection(const LloydOptions& options);

/// "warm_lloyd": from the delta that the projection before has ended with (Yin et al.: BinaryRelax, 2018),
/// the first time from the best of three starts. The buffer `delta`, one for each group, remembers it.
/// Weights that lie still are therefore projected a little better each time, until a fixed point is reached.
/// For few bits: the finer the grid, the nearer every delta is to a fixed point, and the slower one step follows.
/// Throws as lloyd_projection().
std::unique_ptr<WeightProjection> warm_lloyd_projection(const LloydOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
