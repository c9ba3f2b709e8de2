#pragma once
// LSQ: weights on a grid with a learned step. Formulas and source: quant/math/learned_step.h.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the projection `lsq`.
struct LearnedStepWeightOptions {
  int bits = 2;  ///< 2 to 8
};
void describe(OptionVisitor& v, LearnedStepWeightOptions& o);

/// "lsq": Q_N = 2^(bits-1), Q_P = Q_N - 1, N the number of weights. The parameter `step`, of shape (), one for a
/// layer, starts from the float weight; before that zeros give zeros. (With 2 bits weights that all have one size
/// start on the tie between the codes 0 and 1, which goes to 0.) At the ends themselves, w = -s Q_N and w = s Q_P, the
/// derivatives with respect to (w, s) are those of the paper, (0, -Q_N) and (0, Q_P). Throws UsageError for bits out of
/// range.
std::unique_ptr<WeightProjection> learned_step_projection(const LearnedStepWeightOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
