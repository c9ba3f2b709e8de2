#pragma once
// PACT: an activation with a trained clipping level (Choi, Wang, Venkataramani, Chuang, Srinivasan,
// Gopalakrishnan, arXiv 1805.06085, section 3).
#include "quant/activations/grid_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the activation `pact`.
struct PactOptions {
  int bits = 4;            ///< k, 1 to 8
  double alpha = 10;       ///< at the start: above whatever a normalised input reaches
  double rate_factor = 1;  ///< of the learning rate of alpha
};
void describe(OptionVisitor& v, PactOptions& o);

/// y = min(max(x, 0), alpha) (equation 1, number unverified), rounded to the nearest of the 2^k levels
/// j alpha / (2^k - 1) (equation 2, number unverified). dy/dx = 1 for 0 < x <= alpha, dy/dalpha = 1 for x > alpha,
/// both 0 elsewhere. At the clip itself, x = alpha, these are (1, 0), as every clipped ReLU here has them, where
/// equation 3 (number unverified) has (0, 1); 1-bit weights, whose sums take few values, do bring this tie about. alpha
/// takes the weight decay of the optimizer, which is the paper's regularizer.
class PactActivation : public GridActivation {
 public:
  /// The least alpha.
  static constexpr double kLeastAlpha = 1e-3, kMostAlpha = 1e4;  ///< the greatest alpha

  /// Throws UsageError for bits out of range, and Error for an alpha or a factor out of range.
  explicit PactActivation(const PactOptions& options);

  Parameter& alpha;  ///< the clipping level; shape ()

 protected:
  ActivationMap map() const override;

 private:
  const int bits_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
