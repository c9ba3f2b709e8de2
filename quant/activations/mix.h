#pragma once
// The mix of an activation and its quantization (quant/mix_schedule.h).
#include "quant/activations/activation_quantizer.h"
#include "quant/math/level_set.h"
#include "quant/mix_schedule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the activation `mix`.
struct MixActivationOptions {
  int bits = 1;                     ///< 1 to 3
  LevelThresholds thresholds = {};  ///< of 2 and 3 bits
  MixOptions mix = {};              ///< how the share of the quantized value moves, and the factor of the gradient
};
void describe(OptionVisitor& v, MixActivationOptions& o);

/// The activation "mix": with c = max(-1, min(1, z)) and the hard quantizer h of a level set (quant/math/level_set.h)
///   a h(c) + (1 - a) c  in training,  h(c)  in evaluation and where a = 1;
/// backward multiplies by the factor where |z| <= 1, both ends included, and by 0 elsewhere. NaN stays. On levels the
/// output has codes (Tensor::coded(), signed), unless there is a NaN. advance() moves a. A graph has the op
/// "mix_activation" with its "bits", "levels" and "thresholds", both ascending. Source: Chen et al. 2020 (arXiv
/// 2003.04296), equations 19 and 20.
class MixActivation : public ActivationQuantizer {
 public:
  /// Throws UsageError for bits and thresholds out of range, Error for a mix that is.
  explicit MixActivation(const MixActivationOptions& options);

  Var forward(const Var& z) override;
  int bits() const override { return levels_.bits(); }
  void advance(const Progress& at) override { schedule_.advance(at); }
  /// a, the share of the quantized value in training.
  double share() const { return schedule_.share(); }

 private:
  Tensor quantized(const Tensor& z, std::uint8_t* mask) const;
  Tensor mixed(const Tensor& z, const MixSchedule::Mix& mix, std::uint8_t* mask) const;

  const LevelSet levels_;
  MixSchedule schedule_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
