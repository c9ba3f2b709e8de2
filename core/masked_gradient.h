#pragma once
// The gradient behind an activation whose derivative is 0 or 1, not multiplied yet: who goes on with both factors in
// one pass, as a normalisation does, has no need of the product. To all others it is a tensor, made where it is read.
#include <memory>
#include <utility>

#include "core/base/memory.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// One bit per element (core/compute/activation.h); null: all bits are 1.
using DerivativeMask = std::shared_ptr<const Scratch<std::uint8_t>>;

/// The elements of `gradient` where the mask is 1, and 0 elsewhere.
class MaskedGradient : public Deferred {
 public:
  /// `mask` is not null. With `other_readers` somebody else reads the product, too: who goes on with the factors
  /// shall leave it to them on the way (Tensor::make_with).
  MaskedGradient(Tensor gradient, DerivativeMask mask, bool other_readers)
      : gradient_(std::move(gradient)), mask_(std::move(mask)), other_readers_(other_readers) {}

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  std::int64_t granule() const override { return 8; }  // bits of a byte of the mask

  /// One factor: the gradient of the activation's output.
  const Tensor& gradient() const { return gradient_; }
  /// The other factor: the derivative of the activation, one bit per element.
  const Scratch<std::uint8_t>& mask() const { return *mask_; }
  /// Whether somebody else reads the product, too.
  bool has_other_readers() const { return other_readers_; }

 private:
  Tensor gradient_;
  DerivativeMask mask_;
  bool other_readers_;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
