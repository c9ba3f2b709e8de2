#pragma once
// The weight of a convolution of floats, packed once for many batches.
#include "core/base/memory.h"
#include "core/compute/conv.h"

namespace coarsegrad {

/// A weight in the order in which the kernels of the table that is active now read it, for the algorithm that is the
/// fastest one for the shape of an image: as it is, or transformed by Winograd's algorithm, up to four times as large.
class FloatWeights {
 public:
  /// Refers to `weight`, as conv2d_forward() takes it; the batch of `s` does not matter. Throws Error as
  /// ConvShape::validate() does.
  FloatWeights(const ConvShape& s, const float* weight);

  /// y = conv(x, weight) + bias for so many images, as conv2d_forward() computes it; bias may be null. Throws Error where
  /// another kernel table has become the active one.
  void forward(std::int64_t batch, Elements<float> x, const float* bias, ElementSink<float> y) const;

 private:
  enum class Algorithm { columns, direct, winograd };
  static Algorithm fastest(const ConvShape& s);

  ConvShape shape_;
  const float* weight_;
  Algorithm algorithm_;
  const void* kernels_;    // that the weight is packed for
  Scratch<float> packed_;  // empty for columns
};

}  // namespace coarsegrad
