#pragma once
// The deterministic forward quantizers of StatQuant: levels over the range of what is there, rounded to the
// nearest, straight through in the backward pass. Source: Chen, Gai, Yao, Mahoney, Gonzalez, NeurIPS 2020
// (arXiv 2010.14298), the released code; 8 bits in all of their experiments.
#include "quant/activation_quantizer.h"
#include "quant/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// A ReLU whose output is rounded to the nearest of the 2^bits levels between 0, its smallest value, and the
/// largest one in the batch, in evaluation mode as well. Backward: that of the ReLU. NaN or +inf makes all of
/// them NaN, since there are no levels then; -inf is a 0 like every negative one. (The paper quantizes what
/// enters a convolution, here that is what leaves the activation before it; and it has no levels to spare for
/// a batch without a 0.)
class MinMaxActivation : public ActivationQuantizer {
 public:
  /// Throws UsageError unless 1 <= bits <= 8.
  explicit MinMaxActivation(int bits);
  Var forward(const Var& x) override;
  int bits() const override { return bits_; }

 private:
  int bits_;
};

/// MinMaxActivation at every place. Throws UsageError for bits out of range and another surrogate than relu.
nn::MakeActivation minmax_activation(const ActivationOptions& options);

/// The grid of a tensor of weights: step (k - zero), k = 0, ..., bins, which holds 0 and reaches from at most
/// `low` to at least `high`.
struct ZeroPointGrid {
  double step;
  int zero, bins;
};
/// zero = floor(-low bins / (high - low)), step = -low / zero; where one of the two sides is (nearly) missing
/// zero stays at least 1 bin from the other and the step is the larger one that the two sides ask for.
/// low <= 0 <= high, finite; throws Error otherwise. A step of 0 where both are 0.
ZeroPointGrid zero_point_grid(double low, double high, int bins);

/// Projection of weights onto the zero_point_grid() of their range. Throws UsageError unless 2 <= bits <= 8.
std::unique_ptr<WeightProjection> minmax_projection(const ProjectionOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
