#pragma once
// What the quantized activations have in common: a forward map onto a grid (core/compute/activation.h), composed
// with the derivative of a surrogate at q, the input in units of the grid, and maybe a trained parameter of
// the grid. A method says which map it is; the passes are here.
#include "quant/activations/activation_codes.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/math/surrogate.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

struct GridMap {
  kernels::Quantizer<Real> quantizer;  ///< q = x * steps / alpha; values are scale() times the codes
  int bits;                   ///< of the codes
  /// For the backward pass, at q with the window `quantizer.levels`.
  const Surrogate* surrogate;
  /// Of the grid; undefined where nothing is trained. Its surrogate is the clipped ReLU: the mask of `out` is
  /// 1 for 0 < q <= levels.
  Var parameter = {};
  /// Its gradient, of its shape, from that of the output, what the forward pass made of the input, and the
  /// input, which is undefined unless `reads_input`.
  std::function<Tensor(const Tensor& g, const ActivationCodes& out, const Tensor& x)> parameter_gradient = {};
  bool reads_input = false;
};

/// The values on the grid. One bit for each element is kept for the backward pass where the surrogate's
/// derivative is 0 or 1 (identity, relu, clipped_relu, hard_tanh: none for the identity), x elsewhere.
/// Throws Error for a quantizer out of range.
Var quantize_activation(const Var& x, const GridMap& map);

/// What a graph says of the op "quantize_activation": "bits", "levels", "alpha", "steps" and "scale" of the
/// grid, "rounding" ("up", "nearest", "sign") and the "surrogate".
Attributes attributes_of(const GridMap& map);

class GridActivation : public ActivationQuantizer {
 public:
  Var forward(const Var& x) override { return quantize_activation(x, map()); }
  /// In one pass over memory where one bit per element is enough.
  Var after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) override;
  int bits() const override { return map().bits; }

 protected:
  virtual GridMap map() const = 0;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
