#pragma once
// Tensors with integers behind their elements that need not be multiples of one number: quantized gradients, weights with
// a zero point. The backward pass multiplies them (core/ops_linear.cpp); the forward pass reads the elements.
#include <optional>

#include "core/compute/levels.h"
#include "core/deferred.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// Elements on uniform grids.
class Leveled : public Deferred {
 public:
  /// The codes behind the elements and what they stand for, as long as this object lives.
  virtual LeveledCodes leveled() const = 0;
};

/// The codes behind the elements of a tensor: of a Leveled one, or of a Coded one, whose levels are multiples of its
/// scales. None for other tensors.
std::optional<LeveledCodes> leveled_codes(const Tensor& t);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
