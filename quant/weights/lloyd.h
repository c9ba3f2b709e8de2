#pragma once
// Lloyd's alternation (quant/math/lloyd.h) as projections of weights of 2 to 8 bits, options.lloyd_steps
// steps each time.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// "lloyd": from delta = 2 max|w| / (2^bits - 1), in every projection anew (Yin et al.: Blended coarse
/// gradient descent, 2018, section 3). Throws UsageError for fewer than one step and for 1 bit, here and
/// below.
std::unique_ptr<WeightProjection> lloyd_projection(const ProjectionOptions& options);

/// "warm_lloyd": from the delta that the projection before has ended with (Yin et al.: BinaryRelax, 2018),
/// the first time from the best of three starts. The buffer `delta`, one for each group, remembers it.
/// Weights that lie still are therefore projected a little better each time, until a fixed point is reached.
/// For few bits: the finer the grid, the nearer every delta is to a fixed point, and the slower one step
/// follows.
std::unique_ptr<WeightProjection> warm_lloyd_projection(const ProjectionOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
