#pragma once
// Signs as activations: codes -1 and +1. Source: Courbariaux, Hubara, Soudry, El-Yaniv, Bengio: Binarized
// neural networks, arXiv 1602.02830, equations 1 and 4 (numbers unverified).
#include "quant/activations/grid_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the activation `sign`.
struct SignActivationOptions {
  int bits = 1;                         ///< 1
  std::string surrogate = "hard_tanh";  ///< its name
};
void describe(OptionVisitor& v, SignActivationOptions& o);

/// y = +1 for x >= 0, else -1; backward multiplies by the surrogate's derivative at x with window 1, by
/// default hard_tanh: 1 for |x| <= 1. Others: polynomial (Bi-Real Net), swish_sign (BNN+), triangular,
/// arctan, tanh. Zeros that pad a convolution stay zeros between the signs.
class SignActivation : public GridActivation {
 public:
  /// `surrogate` must outlive the activation.
  explicit SignActivation(const Surrogate& surrogate = coarsegrad::surrogate("hard_tanh")) : surrogate_(surrogate) {}
  /// Throws UsageError, listing the known names, for an unknown surrogate.
  explicit SignActivation(const SignActivationOptions& options)
      : SignActivation(coarsegrad::surrogate(options.surrogate)) {}

 protected:
  ActivationMap map() const override { return onto_grid({1, 1, kernels::Rounding::sign}, 1, surrogate_); }

 private:
  const Surrogate& surrogate_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
