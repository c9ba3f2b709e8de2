#pragma once
// Activations: an elementwise map together with what stands for its derivative, as a value, and the one op that
// carries any of them out. Behind a normalisation (core/normalization.h), with or without a shortcut, it reads
// what the normalisation reads, in one pass over memory: act(norm(x) + shortcut) costs what act(x) does.
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "core/autograd.h"
#include "core/compute/activation.h"
#include "core/masked_gradient.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// What the backward pass multiplies the gradient by, a function of q (ActivationGrid). Nothing set: 1 everywhere, and
/// nothing is kept for it.
struct Slope {
  /// 1 within this pass band and 0 elsewhere: one bit per element is kept.
  std::optional<kernels::PassBand<Real>> interval = {};
  /// From q to slopes, which may be the same memory. Called from several threads at once.
  using Function = std::function<void(std::span<const Real> q, std::span<Real> slopes)>;
  /// Any other function: the input is kept.
  Function function = {};
};

/// What a forward pass onto a grid has kept for the gradient of its parameter.
struct KeptActivation {
  std::shared_ptr<const Coded> coded;  ///< codes of the output
  DerivativeMask mask;                 ///< of the slope's pass band; null where it has none
  Tensor x;                            ///< the input; undefined where neither gradient reads it
};

/// A map onto a grid, with everything in units of it: q = x * steps / alpha.
struct ActivationGrid {
  kernels::Quantizer<Real> quantizer;  ///< from x to q, and from q to codes
  int bits;                            ///< of the codes, 1 to 8
  Slope slope = {};                    ///< what stands for the derivative
  Var parameter = {};                  ///< trained along with the network; undefined where nothing is
  /// From the gradient of the output to that of `parameter`, of its shape.
  using ParameterGradient = std::function<Tensor(const Tensor& grad, const KeptActivation& kept)>;
  ParameterGradient parameter_gradient = {};  ///< empty where there is no parameter
  bool reads_input = false;                   ///< whether parameter_gradient reads KeptActivation::x
};

/// An activation as a value: max(x, 0), or a map onto a grid.
struct ActivationMap {
  const char* op;                               ///< name of the op in a graph
  std::optional<ActivationGrid> grid = {};      ///< none: max(x, 0) with its own derivative, 1 for x > 0
  std::function<Attributes()> attributes = {};  ///< of the op in a graph; empty for none
};

/// The map applied to x, of the same shape; on a grid the result has codes (Tensor::coded()), signed ones for
/// kernels::Rounding::sign, unless there is a NaN. Backward: the gradient times the slope. Nothing is kept where
/// no gradient is wanted. Throws Error for a quantizer out of range.
Var activate(const Var& x, const ActivationMap& map);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
