#pragma once
// Mixed precision: what the ops that most of a training's time goes to compute with and keep, under the name that
// libtorch has for it.
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// What a training step computes with.
enum class ComputeType {
  /// Real throughout.
  real,
  /// conv2d and linear round their operands to bfloat16, multiply these and sum in float; activations and gradients are
  /// kept as bfloat16 (core/kernels/bfloat16.h) from op to op. Normalisation, losses, reductions, and the weights and what
  /// an optimizer remembers of them, are float.
  bfloat16
};

/// What ops of this thread compute with: that of the innermost Autocast, else Real. A backward pass goes on with what
/// its op began with.
ComputeType compute_type();

/// Ops of this thread compute with `type` while one is in scope.
class Autocast {
 public:
  /// Throws Error for bfloat16 where Real is double.
  explicit Autocast(ComputeType type);
  ~Autocast();
  /// Not copied: each scope restores what it has found.
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  ComputeType saved_;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
