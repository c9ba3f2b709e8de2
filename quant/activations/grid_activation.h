#pragma once
// What the quantized activations have in common: a forward map onto a grid, composed with the derivative of a
// surrogate at q, the input in units of the grid, and maybe a trained parameter of the grid. A class says which map
// it is; core/activate.h carries it out.
#include "core/activate.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/math/surrogate.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The map of the op "quantize_activation": onto the grid of `quantizer`, backward times the derivative of the
/// surrogate at q with the window `quantizer.levels`; the surrogate declares what is kept for that. A graph has its
/// "bits", "levels", "alpha", "steps", "scale", "rounding" ("up", "nearest", "sign") and "surrogate".
ActivationMap onto_grid(const kernels::Quantizer<Real>& quantizer, int bits, const Surrogate& surrogate);

/// onto_grid() with the clipped ReLU as its surrogate and a trained `parameter` of the grid, undefined where none is
/// trained. The mask that its gradient sees is 1 for 0 < q <= levels.
ActivationMap onto_trained_grid(const kernels::Quantizer<Real>& quantizer, int bits, const Var& parameter,
                                ActivationGrid::ParameterGradient gradient, bool reads_input = false);

/// An activation on one grid, whose codes are kept with its output.
class GridActivation : public ActivationQuantizer {
 public:
  Var forward(const Var& x) override { return activate(x, map()); }
  /// Those of the grid.
  int bits() const override { return map().grid->bits; }

 protected:
  /// The map as it stands: its grid is present, and follows what is trained.
  virtual ActivationMap map() const = 0;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
