#pragma once
// Quantized activations whose resolution alpha is trained (Yin, Zhang, Lyu, Osher, Qi, Xin: "Blended coarse
// gradient descent for full quantization of deep neural networks", 2018, section 2).
#include <limits>

#include "quant/activations/uniform.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// A trained resolution, and what becomes of its gradient.
struct TrainedAlpha {
  Var alpha;                                 ///< shape (), positive
  int bits = 4;                              ///< 1 to 8
  AlphaRule rule = AlphaRule::three_valued;  ///< what stands for d sigma / d alpha
  /// What the gradient of alpha is multiplied by.
  double gradient_factor = 1, gradient_limit = std::numeric_limits<double>::infinity();  ///< its clamp then, +-limit
};

/// sigma(x, alpha) as with a fixed alpha (quant/activations/uniform.h), with gradients to x (clipped ReLU) and to
/// alpha: the sum over all elements of the incoming gradient times what the alpha rule puts for d sigma / d alpha.
/// Codes and one bit per element are kept for the backward pass, x is not.
Var quantize_activation(const Var& x, const TrainedAlpha& quantizer);

/// Options of the activation `trained`.
struct TrainedActivationOptions {
  int bits = 4;                              ///< 1 to 8
  AlphaRule rule = AlphaRule::three_valued;  ///< what stands for d sigma / d alpha
  double alpha = 0;                          ///< at the start; 0: half_gaussian_alpha(bits)
  double rate_factor = 0.01;                 ///< of the learning rate of alpha, or of its gradient
  /// Whether `rate_factor` multiplies the gradient of alpha instead of its learning rate, and clamps it to
  /// [-1, 1] then, in each use of the module; momentum and weight decay come after that. The released code does
  /// so, the paper does not.
  bool clamp_gradient = false;
  /// Whether it begins as a ReLU that leaves the size of its input in alpha (TrainedActivation::record_range()).
  bool record_range = false;
};
void describe(OptionVisitor& v, TrainedActivationOptions& o);

/// The activation "trained". One module that is called at several places has one alpha, whose gradient is the sum
/// over the places.
class TrainedActivation : public GridActivation {
 public:
  /// The least alpha.
  static constexpr double kLeastAlpha = 0.001, kMostAlpha = 5;  ///< the greatest alpha

  /// Throws UsageError unless 1 <= bits <= 8, and Error for an alpha or a factor out of range.
  explicit TrainedActivation(const TrainedActivationOptions& options);

  Var forward(const Var& x) override;

  /// While it is on, forward() is a ReLU and, in training mode, leaves max|x| / K of its input in alpha: so
  /// the last batch of a float training gives the start of the quantized one. Negative x count, as in the
  /// authors' code; a batch of zeros, or one that is not finite, leaves alpha as it is.
  void record_range(bool on) { recording_ = on; }
  /// Whether record_range() is on.
  bool recording() const { return recording_; }

  Parameter& alpha;  ///< the resolution; shape ()

 protected:
  ActivationMap map() const override;

 private:
  const TrainedActivationOptions options_;
  bool recording_;
};

/// net.load_state_dict(state), but for what quantized activations train (entries "alpha" and "step", also behind the
/// dotted name of a module): one that the state lacks keeps its value, one that the net lacks is passed over. So a
/// float net's state starts a quantized one.
void load_state_with_any_alphas(nn::Module& net, const nn::StateDict& state);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
