#pragma once
// Weights of one byte as the kernels of core/kernels/matmul_codes.h read them.
#include <cstdint>

#include "core/base/memory.h"
#include "core/compute/bit_planes.h"
#include "core/compute/conv.h"
#include "core/kernels/matmul_codes.h"

namespace coarsegrad {

/// The weights of a layer in the order in which the kernels of the table that is active now read them, whatever the
/// kind of the activations: pack them once for every change.
class ByteWeights {
 public:
  /// values: (out_channels, kernel_h, kernel_w, in_channels / groups) of `s`, whose batch, image, stride and padding do
  /// not matter, for unsigned activations up to `highest`, which is not checked when they are multiplied. Throws Error
  /// where ConvShape::validate() does.
  ByteWeights(const ConvShape& s, const std::int8_t* values, int highest = 255);
  /// The same from planes of bits, filter after filter and tap after tap as pack_values() (core/compute/bit_planes.h)
  /// leaves pixels of in_channels / groups channels; no array of bytes of all weights is made on the way. Throws Error
  /// also for codes that signed bytes do not hold.
  ByteWeights(const ConvShape& s, const BitCode& code, const std::uint64_t* planes);

  /// Throws Error in the name of `op` unless the weights are those of a convolution of this shape.
  void validate(const char* op, const ConvShape& s) const;

 private:
  friend class CodeConvolution;

  explicit ByteWeights(const ConvShape& s);
  // The product with activations of type In.
  template <class In>
  const kernels::CodeProduct<In>& product() const;
  template <class Filters>
  void pack(Filters&& filters);

  const kernels::MatmulCodes* products_;
  bool small_ = false;  // products_->small multiplies unsigned activations
  std::int64_t out_channels_, kernel_h_, kernel_w_, in_channels_, groups_;
  bool direct_;                  // images are read as they lie; else by columns
  std::int64_t depth_;           // codes of a filter, those included that fill up steps
  std::int64_t panels_, width_;  // of a group: panels, and filters of a panel
  Scratch<std::int8_t> packed_;  // (group, panel, step, filter, code)
};

}  // namespace coarsegrad
