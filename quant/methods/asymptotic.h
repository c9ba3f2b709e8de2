#pragma once
// Training with smooth maps that become the quantizer (AQE-style, a reconstruction:
// quant/math/asymptotic_map.h). The network is a differentiable function all the way, and its gradient is the
// true one: no straight-through estimator anywhere. When the quantizer has taken the map's place, in
// evaluation mode and at the end of the training, the true derivative is 0: what then still learns is what
// comes behind the last quantizer, and the statistics of normalisations.
#include "quant/activation_quantizer.h"
#include "quant/math/asymptotic_map.h"
#include "quant/relaxation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// "asymptotic": x = A_T(w) towards the fixed levels of the projection, m A_T(w / m) or alpha A_T(w) as its
/// LevelScale says, with alpha = <w, A_T(w)> / |A_T(w)|^2, whose derivative counts, too; w is clamped to the
/// range of the levels after each step. strength() is T times the least step of the levels; options.strength
/// is its value at the start (0: 1.5), options.growth what it is multiplied by over the training (1: 100 /
/// 1.5), options.most where it stops. From the share options.hard_from of the training on, if that is below
/// 1, x is the projection and w gets no gradient. Throws Error for options out of range; used() throws
/// UsageError for a projection other than fixed_levels.
std::unique_ptr<Relaxation> asymptotic_relaxation(const RelaxationOptions& options);

/// "asymptotic": alpha A_T(x / alpha) in training mode, the nearest level of alpha q in evaluation mode and
/// at the end of the training. 1 to 3 bits.
class AsymptoticActivation : public ActivationQuantizer, public Scheduled {
 public:
  /// `alpha` is the highest level. Throws Error unless it is finite and positive, and for a schedule out of
  /// range.
  AsymptoticActivation(int bits, ThreeBits three_bits, double alpha, const SharpnessSchedule& schedule);
  Var forward(const Var& x) override;
  void advance(const Progress& at) override { share_ = at.share(); }
  int bits() const override { return bits_; }
  /// Whether forward() is the quantizer now.
  bool hard() const { return !training() || schedule_.hard(share_); }

 private:
  const int bits_, magnitudes_;
  const LevelSet levels_;
  const Real alpha_;
  const SharpnessSchedule schedule_;
  double share_ = 0;
};

nn::MakeActivation asymptotic_activation(const ActivationOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
