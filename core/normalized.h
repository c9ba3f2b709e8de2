#pragma once
// A batch normalisation that has not been carried out yet, and what can be done with it in one pass over
// memory. The ops batch_norm and batch_norm_eval are its plain uses; an activation behind a normalisation is
// another.
#include <functional>
#include <memory>

#include "core/autograd.h"
#include "core/base/memory.h"
#include "core/compute/norm.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// t = (x - mean) * inv_std * scale + shift, per channel (the last axis); scale and shift may be undefined.
struct Normalized {
  Var x, scale, shift;
  Tensor mean, inv_std;  ///< (C)
  BatchStatistics statistics;

  std::int64_t channels() const { return mean.numel(); }
  std::int64_t rows() const {
    const std::int64_t c = channels();
    return c > 0 ? x.numel() / c : 0;
  }
  NormColumns<Real> columns() const {
    return {mean.data(), inv_std.data(), scale.value().data(), shift.value().data()};
  }
};

/// Throws Error unless eps is finite as a Real and not negative, and 0 <= momentum <= 1.
void check_norm_settings(double eps, double momentum);
/// With the statistics of the batch; arguments and errors as batch_norm (core/ops.h).
Normalized normalized(const Var& x, const Var& scale, const Var& shift, Real eps, Real momentum,
                      Tensor* running_mean, Tensor* running_var);
/// With given statistics; arguments and errors as batch_norm_eval.
Normalized normalized_eval(const Var& x, const Var& scale, const Var& shift, const Tensor& mean,
                           const Tensor& var, Real eps);

/// One bit per element (core/compute/activation.h); null: all bits are 1.
using DerivativeMask = std::shared_ptr<const Scratch<std::uint8_t>>;

/// What an activation made of t + shortcut.
struct Activated {
  Tensor value;
  /// Its derivative, asked for by the backward pass; empty: 1 everywhere.
  std::function<DerivativeMask()> mask;
  Var parameter;               ///< of the activation, or undefined,
  std::function<Tensor(const Tensor& grad)> parameter_gradient;  ///< and its gradient from that of the value
};
/// Records the pass from n.x, n.scale, n.shift and `shortcut` (which may be undefined) to `result`. A graph
/// has it as the layers that it stands for: a normalisation, a sum where there is a shortcut, and the op
/// `activation` with its attributes unless that is null.
Var record_activated(const char* op, const Normalized& n, const Var& shortcut, const Activated& result,
                     const char* activation = nullptr, const LazyAttributes& attributes = {});

/// relu(t + shortcut), bit for bit what the three ops give; `shortcut` has the shape of x or is undefined.
/// The number of channels is a multiple of 8. Without a shortcut the result is deferred: x is kept, not the
/// result.
Var norm_relu(const Normalized& n, const Var& shortcut);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
