#pragma once
// What the quantized activations have in common: a forward map onto a grid, composed with the derivative of a
// surrogate at q, the input in units of the grid, and maybe a trained parameter of the grid. A method says which
// map it is; how it is carried out is not its business (core/activate.h).
#include "core/activate.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/math/surrogate.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The op "quantize_activation": onto the grid of `quantizer`, backward times the derivative of the surrogate at q
/// with the window `quantizer.levels`; the surrogate declares what is kept for that. A graph has its "bits",
/// "levels", "alpha", "steps", "scale", "rounding" ("up", "nearest", "sign") and "surrogate".
ActivationMap onto_grid(const kernels::Quantizer<Real>& quantizer, int bits, const Surrogate& surrogate);

/// The same with the clipped ReLU as its surrogate and a parameter of the grid that is trained, undefined where it is
/// not. The mask that its gradient sees is 1 for 0 < q <= levels.
ActivationMap onto_trained_grid(const kernels::Quantizer<Real>& quantizer, int bits, const Var& parameter,
                                ActivationGrid::ParameterGradient gradient, bool reads_input = false);

class GridActivation : public ActivationQuantizer {
 public:
  Var forward(const Var& x) override { return activate(x, map()); }
  int bits() const override { return map().grid->bits; }

 protected:
  /// Has a grid.
  virtual ActivationMap map() const = 0;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
