#pragma once
// StatQuant's deterministic quantizer of activations (Chen, Gai, Yao, Mahoney, Gonzalez, NeurIPS 2020, arXiv
// 2010.14298, the released code; 8 bits in all of their experiments): levels over the interval of what is there,
// rounded to the nearest.
#include "quant/activations/activation_quantizer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the `minmax` activations.
struct MinMaxOptions {
  int bits = 8;  ///< 1 to 8
};
void describe(OptionVisitor& v, MinMaxOptions& o);

/// A ReLU whose output is rounded to the nearest of the 2^bits levels between 0, its smallest value, and the
/// largest one in the batch, in evaluation mode as well. Backward: that of the ReLU. NaN or +inf makes all of
/// the output NaN, since there are no levels then; -inf gives 0 like every negative number. (The paper quantizes what
/// enters a convolution, here that is what leaves the activation before it; and it has no levels to spare for
/// a batch without a 0.)
class MinMaxActivation : public ActivationQuantizer {
 public:
  /// Throws UsageError unless 1 <= bits <= 8.
  explicit MinMaxActivation(int bits);
  explicit MinMaxActivation(const MinMaxOptions& options) : MinMaxActivation(options.bits) {}

  Var forward(const Var& x) override;
  int bits() const override { return bits_; }

 private:
  Var quantized(const Var& x) const;

  int bits_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
