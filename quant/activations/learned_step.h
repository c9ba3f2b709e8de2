#pragma once
// LSQ: activations on a grid with a learned step. Formulas and source: quant/math/learned_step.h.
#include "quant/activations/grid_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the `lsq` activations.
struct LearnedStepOptions {
  int bits = 4;            ///< 1 to 8
  double step = 0;         ///< >= 0, at the start; 0: from the first batch of the training
  double rate_factor = 1;  ///< of the learning rate of the step
};
void describe(OptionVisitor& v, LearnedStepOptions& o);

/// The activation "lsq": Q_N = 0, Q_P = 2^bits - 1, so that the ReLU that stands before the paper's quantizer is
/// a part of it: v = max(x, 0). N is the number of elements of one image. The window is 0 < v / s <= Q_P: at the clip
/// itself, v = s Q_P, the derivatives with respect to (v, s) are (1, 0), as every clipped ReLU here has them, where
/// equations 3 and 5 have (0, Q_P). (The weights of `lsq` have the paper's.)
class LearnedStepActivation : public GridActivation {
 public:
  /// Throws UsageError for bits out of range, and Error for a step or a factor out of range.
  explicit LearnedStepActivation(const LearnedStepOptions& options);

  Var forward(const Var& x) override;

  /// Shape (). 0 until a forward pass in training mode sets it, the first one whose mean of max(x, 0) is
  /// finite and not 0; passes before that take the step that N(0, 1) would give, and train none.
  Parameter& step;

 protected:
  ActivationMap map() const override;

 private:
  bool starts() const { return training() && step.value.item() == 0; }

  const int bits_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
