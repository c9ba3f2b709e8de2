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

/// What the backward pass multiplies by. Nothing set: 1 everywhere, and nothing is kept for it.
struct Slope {
  /// 1 within this interval and 0 elsewhere: one bit per element is kept.
  std::optional<kernels::Interval<Real>> interval = {};
  /// Any other function, from q to slopes, which may be the same memory: the input is kept. Called from several
  /// threads at once.
  using Function = std::function<void(std::span<const Real> q, std::span<Real> slopes)>;
  Function function = {};
};

/// What a forward pass onto a grid has kept for the gradient of its parameter.
struct KeptActivation {
  std::shared_ptr<const Coded> coded;
  DerivativeMask mask;  ///< of the slope's interval
  Tensor x;             ///< the input; undefined unless `reads_input`
};

/// A map onto a grid, with everything in units of it: q = x * steps / alpha.
struct ActivationGrid {
  kernels::Quantizer<Real> quantizer;
  int bits;            ///< of the codes
  Slope slope = {};    ///< of q
  Var parameter = {};  ///< trained along with the network; undefined where nothing is
  /// Its gradient, of its shape, from that of the output.
  using ParameterGradient = std::function<Tensor(const Tensor& grad, const KeptActivation& kept)>;
  ParameterGradient parameter_gradient = {};
  bool reads_input = false;
};

struct ActivationMap {
  const char* op;                               ///< its name in a graph
  std::optional<ActivationGrid> grid = {};      ///< none: max(x, 0) with its own derivative, 1 for x > 0
  std::function<Attributes()> attributes = {};  ///< what a graph says of it
};

/// The map of x, of the same shape; on a grid the result has codes (Tensor::coded()), signed ones for
/// kernels::Rounding::sign, unless there is a NaN. Backward: the gradient times the slope. Nothing is kept where
/// no gradient is wanted. Throws Error for a quantizer out of range.
Var activate(const Var& x, const ActivationMap& map);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
