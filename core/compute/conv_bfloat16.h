#pragma once
// Convolutions of mixed precision (core/autocast.h): as in conv.h, but that both factors of each product are rounded to
// bfloat16 before. Products are exact and sums are floats, within the bounds of conv.h. Where the kernel table multiplies
// bfloat16 (core/kernels/matmul_bfloat16.h) and there are neither groups nor dilation these are multiplied; everywhere
// else the rounded floats are, by the functions of conv.h, bit for bit.
#include <cstdint>

#include "core/base/elements.h"
#include "core/compute/conv.h"
#include "core/kernels/bfloat16.h"

namespace coarsegrad {

/// One factor of the products: an array that is kept as bfloat16, or one of floats that is rounded as it is read. Refers
/// to the array and owns nothing; what its functions return refers to it.
class Bfloat16Factor {
 public:
  /// Elements as they are kept.
  Bfloat16Factor(const Bfloat16* kept) : kept_(kept) {}  // NOLINT(google-explicit-constructor)
  /// Elements to be rounded.
  Bfloat16Factor(const Elements<float>& floats) : floats_(floats) {}  // NOLINT(google-explicit-constructor)

  /// The rounded elements as floats.
  Elements<float> rounded_floats() const;
  /// Elements [begin, end), rounded, into `to`.
  void read(std::int64_t begin, std::int64_t end, Bfloat16* to) const;
  /// All elements where they are kept, else null.
  const Bfloat16* kept() const { return kept_; }

 private:
  const Bfloat16* kept_ = nullptr;
  Elements<float> floats_ = nullptr;
};

/// y = conv(x, weight) + bias; bias may be null, and is not rounded. Throws Error as ConvShape::validate() does, and so do
/// the two backward passes.
void conv2d_forward_bfloat16(const ConvShape& s, const Bfloat16Factor& x, const float* weight, const float* bias,
                             ElementSink<float> y);
/// dx = the gradient with respect to x, from dy, that with respect to y.
void conv2d_backward_data_bfloat16(const ConvShape& s, const Bfloat16Factor& dy, const float* weight,
                                   ElementSink<float> dx);
/// dweight = the gradient with respect to the weight, from dy, that with respect to y.
void conv2d_backward_weight_bfloat16(const ConvShape& s, const Bfloat16Factor& x, const Bfloat16Factor& dy,
                                     float* dweight);

}  // namespace coarsegrad
