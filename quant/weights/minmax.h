#pragma once
// StatQuant's deterministic quantizer of weights (Chen, Gai, Yao, Mahoney, Gonzalez, NeurIPS 2020, arXiv
// 2010.14298, the released code; 8 bits in all of their experiments): levels over the interval of what is there,
// rounded to the nearest, straight through in the backward pass.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The grid of a tensor of weights: step (k - zero), k = 0, ..., bins, which holds 0 and reaches from at most
/// `low` to at least `high`.
struct ZeroPointGrid {
  double step;  ///< distance of neighbouring levels
  /// The k of the level 0.
  int zero, bins;  ///< the k of the highest level
};

/// The grid for weights in [low, high] with
/// zero = floor(-low bins / (high - low)), step = -low / zero; where one of the two sides is (nearly) missing
/// zero stays at least 1 bin from the other and the step is the larger one that the two sides ask for.
/// low <= 0 <= high, finite; throws Error otherwise. A step of 0 where both are 0.
ZeroPointGrid zero_point_grid(double low, double high, int bins);

/// Options of the projection `minmax`.
struct MinMaxWeightOptions {
  int bits = 8;              ///< 2 to 8
  bool per_channel = false;  ///< the interval of each index of the first axis instead of that of the tensor
};
void describe(OptionVisitor& v, MinMaxWeightOptions& o);

/// "minmax": onto the zero_point_grid() of the interval of the weights. The result has the codes k, unsigned bytes with a
/// zero point, for the backward pass (core/leveled.h), and none for the forward pass. Throws UsageError unless 2 <=
/// bits <= 8.
std::unique_ptr<WeightProjection> minmax_projection(const MinMaxWeightOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
