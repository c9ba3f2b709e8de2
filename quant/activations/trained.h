#pragma once
// Quantized activations whose resolution alpha is trained (Yin, Zhang, Lyu, Osher, Qi, Xin: "Blended coarse
// gradient descent for full quantization of deep neural networks", 2018, section 2).
#include <limits>

#include "quant/activations/uniform.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// sigma(x, alpha) as quantize_activation, with gradients to x (clipped ReLU) and to alpha, of shape ():
/// the sum over all elements of the incoming gradient times what `rule` puts for d sigma / d alpha.
/// `gradient_factor` multiplies the latter, and `gradient_limit` clamps it to +-limit then. Codes and one bit
/// per element are kept for the backward pass, x is not.
struct TrainedAlpha {
  Var alpha;
  int bits = 4;
  AlphaRule rule = AlphaRule::three_valued;
  double gradient_factor = 1, gradient_limit = std::numeric_limits<double>::infinity();
};
Var quantize_activation(const Var& x, const TrainedAlpha& quantizer);

struct TrainedActivationOptions {
  int bits = 4;
  AlphaRule rule = AlphaRule::three_valued;
  double alpha = 0;  ///< at the start; 0: half_gaussian_alpha(bits)
  /// Of the learning rate of alpha. With `clamp_gradient` it multiplies the gradient instead, which is then
  /// clamped to [-1, 1] in each use of the module; momentum and weight decay come after that. The released
  /// code does so, the paper does not.
  double rate_factor = 0.01;
  bool clamp_gradient = false;
  /// At first a ReLU that leaves the range of its input in alpha (TrainedActivation::record_range()).
  bool record_range = false;
};
void describe(OptionVisitor& v, TrainedActivationOptions& o);

/// The quantizer as a module. One module used at several places has one alpha, whose gradient is the sum over
/// the places.
class TrainedActivation : public GridActivation {
 public:
  static constexpr double kLeastAlpha = 0.001, kMostAlpha = 5;

  /// Throws UsageError unless 1 <= bits <= 8, and Error for an alpha or a factor out of range.
  explicit TrainedActivation(const TrainedActivationOptions& options);
  Var forward(const Var& x) override;

  /// While it is on, forward() is a ReLU and, in training mode, leaves max|x| / K of its input in alpha: so
  /// the last batch of a float training gives the start of the quantized one. Negative x count, as in the
  /// authors' code; a batch of zeros, or one that is not finite, leaves alpha as it is.
  void record_range(bool on) { recording_ = on; }
  bool recording() const { return recording_; }

  Parameter& alpha;  ///< shape (), kept in [kLeastAlpha, kMostAlpha]

 protected:
  ActivationMap map() const override;

 private:
  const TrainedActivationOptions options_;
  bool recording_;
};

/// net.load_state_dict(state), but for what quantized activations train (entries "alpha" and "step", and
/// "....alpha" and "....step"): one that the state lacks
/// keeps its value, one that the net lacks is passed over. So a float net's state starts a quantized one.
void load_state_with_any_alphas(nn::Module& net, const nn::StateDict& state);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
