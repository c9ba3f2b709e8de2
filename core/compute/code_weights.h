#pragma once
// Layers on codes of a byte each, as the tensors of a training have them, by the kernel that is the fastest one
// (core/compute/code_kernel.h).
#include <cstdint>
#include <span>
#include <variant>

#include "core/base/elements.h"
#include "core/compute/bit_conv.h"
#include "core/compute/code_kernel.h"
#include "core/compute/conv_codes.h"

namespace coarsegrad {

struct Kernels;

/// The weights of a layer, packed for the kernel that multiplies them: pack them once for every change.
class CodeWeights {
 public:
  /// values: (out_channels, kernel_h, kernel_w, in_channels / groups) of the convolution `s`; bit_linear_shape() is
  /// that of a dense layer. Packed for fastest_code_kernel() of activations of this code, and throws as that does.
  CodeWeights(const BitCode& activation, const ConvShape& s, const std::int8_t* values);

  /// The kernel that they are packed for.
  CodeKernel kernel() const;
  /// Whether the same values would be packed in the same way now, for this layer.
  bool serve(const BitCode& activation, const ConvShape& s) const;
  /// y = scale * (the exact sums) + bias, rounded as by conv2d_forward_codes(). x: (batch, height, width, in_channels),
  /// values of the activations' code, as signed bytes where it has values below 0. Throws Error as
  /// conv2d_forward_codes() or bit_conv2d_scaled() does and, where the kernel is that of bits, for a value that the
  /// code has not.
  void forward(const ConvShape& s, const std::uint8_t* x, std::span<const float> scale, const float* bias,
               ElementSink<float> y) const;

 private:
  const Kernels* table_;
  BitCode weight_, activation_;
  ConvShape layer_;
  std::variant<ByteWeights, BitWeights> packed_;
};

}  // namespace coarsegrad
