#pragma once
// The uniform activation quantizer with a fixed resolution and any surrogate.
#include "quant/activations/grid_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// sigma(x, alpha) = alpha * min(K, ceil(x / alpha)) for x > 0, else 0, with K = 2^bits - 1; backward
/// multiplies by the surrogate's derivative at x / alpha with window K. 1 <= bits <= 8, alpha > 0. From 3
/// bits on it is not idempotent: rounding lifts some levels by one when they pass a second time
/// (activation_level() in quant/math/uniform_activation.h). Source: Yin, Lyu, Zhang, Osher, Qi, Xin, ICLR
/// 2019 (arXiv 1903.05662), section 4.
Var quantize_activation(const Var& x, Real alpha, int bits, const Surrogate& surrogate);

/// Options of the activation `uniform`.
struct UniformOptions {
  int bits = 4;                            ///< 1 to 8
  std::string surrogate = "clipped_relu";  ///< its name
  double alpha = 0;                        ///< the resolution; 0: half_gaussian_alpha(bits)
};
void describe(OptionVisitor& v, UniformOptions& o);

/// The activation "uniform". The resolution is configuration, not state: a float net's
/// state dict loads into the net with quantized activations.
class UniformActivation : public GridActivation {
 public:
  /// Throws UsageError unless 1 <= bits <= 8, and Error unless alpha is finite and positive.
  UniformActivation(int bits, double alpha, const Surrogate& surrogate);
  explicit UniformActivation(const UniformOptions& options);

  /// The resolution: the distance of neighbouring levels.
  double alpha() const { return alpha_; }
  /// What stands for the grid's derivative, with window K.
  const Surrogate& surrogate() const { return surrogate_; }

 protected:
  ActivationMap map() const override;

 private:
  int bits_;
  double alpha_;
  const Surrogate& surrogate_;
};

/// A UniformActivation at every place, with half_gaussian_alpha(bits) (quant/math/uniform_activation.h).
nn::MakeActivation uniform_activation(int bits, const Surrogate& surrogate);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
