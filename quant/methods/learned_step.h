#pragma once
// LSQ: grids with a learned step s (Esser, McKinstry, Bablani, Appuswamy, Modha: Learned step size
// quantization, arXiv 1902.08153, section 2):
//   v_hat = s round(min(max(v / s, -Q_N), Q_P))                                      (equations 1 and 2)
//   dv_hat/ds = round(v / s) - v / s for -Q_N < v / s < Q_P, -Q_N below, Q_P above   (equation 3)
//   dv_hat/dv = 1 for -Q_N < v / s < Q_P, 0 elsewhere                                (equation 5)
// The gradient of s is multiplied by 1 / sqrt(N Q_P) (section 2.2), and s starts at 2 mean|v| / sqrt(Q_P)
// (section 2.1). Rounding goes to the even one of two integers. Steps take no weight decay. A step starts
// from the first tensor whose mean is finite and not 0; until then it is 0, which stands for none, and gets
// no gradient.
#include <limits>

#include "quant/grid_activation.h"
#include "quant/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Where steps are kept: they and the values of all codes are normal numbers.
inline constexpr double kLeastStep = std::numeric_limits<Real>::min(),
                        kMostStep = std::numeric_limits<Real>::max() / 256;

/// "lsq" weights of 2 to 8 bits: Q_N = 2^(bits-1), Q_P = Q_N - 1, N the number of weights. The parameter
/// `step`, of shape (), starts from the float weight; before that zeros give zeros. (With 2 bits weights of
/// one size start on the tie between the codes 0 and 1, which goes to 0.) Throws UsageError for one step per
/// channel.
std::unique_ptr<WeightProjection> learned_step_projection(const ProjectionOptions& options);

struct LearnedStepOptions {
  int bits = 4;            ///< 1 to 8
  double step = 0;         ///< at the start; 0: from the first batch of the training
  double rate_factor = 1;  ///< of the learning rate of the step
};

/// "lsq" activations: Q_N = 0, Q_P = 2^bits - 1, so that the ReLU that stands before the paper's quantizer is
/// a part of it: v = max(x, 0). N is the number of elements of one image. The window is 0 < v / s <= Q_P.
class LearnedStepActivation : public GridActivation {
 public:
  /// Throws UsageError for bits out of range, and Error for a step or a factor out of range.
  explicit LearnedStepActivation(const LearnedStepOptions& options);
  Var forward(const Var& x) override;
  Var after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) override;

  /// Shape (). 0 until a forward pass in training mode sets it, the first one whose mean of max(x, 0) is
  /// finite and not 0; what comes before that takes the step that N(0, 1) would give, and trains none.
  Parameter& step;

 protected:
  GridMap map() const override;

 private:
  bool starts() const { return training() && step.value.item() == 0; }

  const int bits_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
