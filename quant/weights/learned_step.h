#pragma once
// LSQ: weights on a grid with a learned step. Formulas and source: quant/math/learned_step.h.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

struct LearnedStepWeightOptions {
  int bits = 2;  ///< 2 to 8
};
void describe(OptionVisitor& v, LearnedStepWeightOptions& o);

/// "lsq" weights of 2 to 8 bits: Q_N = 2^(bits-1), Q_P = Q_N - 1, N the number of weights. The parameter
/// `step`, of shape (), starts from the float weight; before that zeros give zeros. (With 2 bits weights of
/// one size start on the tie between the codes 0 and 1, which goes to 0.) There is one
/// step for a layer. Throws UsageError for bits out of range.
std::unique_ptr<WeightProjection> learned_step_projection(const LearnedStepWeightOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
