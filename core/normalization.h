#pragma once
// What a batch normalisation leaves: a recipe, carried out where somebody reads it. An activation behind it
// (core/activate.h) carries it out in its own pass, with a shortcut that was added in between.
#include <memory>

#include "core/autograd.h"
#include "core/compute/norm.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// The elements t = (x - mean) * inv_std * scale + shift, per channel (the last axis of x), plus those of `shortcut`.
class Normalization : public Deferred {
 public:
  Tensor x;                           ///< (N, ..., C), kept as Real or as bfloat16
  Tensor scale,                       ///< (C), or undefined: 1
      shift;                          ///< (C), or undefined: 0
  Tensor mean,                        ///< (C)
      inv_std;                        ///< (C), 1 / sqrt(variance + eps)
  Tensor shortcut;                    ///< of the shape of x, or undefined
  bool shortcut_has_history = false;  ///< whether the shortcut wants the gradient of the sum

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  std::int64_t granule() const override { return channels(); }

  /// C, the last extent of x.
  std::int64_t channels() const { return mean.numel(); }
  /// Values per channel.
  std::int64_t rows() const { return x.numel() / channels(); }
  /// What the passes of core/compute/norm.h read.
  NormColumns<Real> columns() const { return {mean.data(), inv_std.data(), scale.data(), shift.data()}; }
};

/// Throws Error unless eps is finite as a Real and not negative, and 0 <= momentum <= 1.
void check_norm_settings(double eps, double momentum);

/// a + b as a recipe, where one of them is a normalisation without a shortcut and the other one can be its
/// shortcut: of the same shape, and no such sum itself. Undefined elsewhere.
Tensor normalization_with_shortcut(const Var& a, const Var& b);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
