#pragma once
// Convolutions and dense layers on planes of bits, in integers throughout: exact 32-bit sums, or what thresholds make
// of them for the next layer. Images are read as they lie, without a column matrix; padding is zero, not a level: taps
// outside an image count nothing. Bitwise the same for any number of threads and on every kernel table, and equal to
// the products of bytes (core/compute/conv_codes.h) of the same codes.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/memory.h"
#include "core/compute/bit_planes.h"
#include "core/compute/bit_thresholds.h"
#include "core/compute/conv.h"
#include "core/kernels/bits.h"

namespace coarsegrad {

/// Filters of a layer on bits, their height, width and input channels, at most.
inline constexpr std::int64_t kMostBitExtent = std::int64_t{1} << 20;

/// The weights of a layer in the order in which the kernels of the table that is active now read them: pack them once
/// for every change. They know the activations' code, too, because it decides that order.
class BitWeights {
 public:
  /// values: (out_channels, kernel_h, kernel_w, in_channels). Weights have up to 8 bits (unsigned ones 7), activations
  /// up to 4. Throws Error for other codes, for a value that the code has not, for sizes below 1, and where a sum could
  /// reach 2^30.
  BitWeights(const BitCode& weight, const BitCode& activation, std::int64_t out_channels, std::int64_t kernel_h,
             std::int64_t kernel_w, std::int64_t in_channels, const std::int8_t* values);

  /// What the activations are.
  const BitCode& activation() const { return activation_; }
  /// Throws Error in the name of `op` unless the weights are those of a convolution of this shape, without groups and
  /// dilation.
  void validate(const char* op, const ConvShape& s) const;

 private:
  friend class BitConvolution;
  class Rectangles;
  class LastRectangles;

  std::int64_t tap_bytes() const { return steps_ * step_bytes_; }
  std::int64_t plane_bytes() const { return kernel_h_ * kernel_w_ * tap_bytes(); }
  void pack(const std::uint64_t* planes);
  void sum_taps(const std::int8_t* values);

  const kernels::BitProduct* product_;
  BitCode weight_, activation_;
  std::int64_t out_channels_, kernel_h_, kernel_w_, in_channels_;
  kernels::BitMatch match_;
  std::int64_t panels_, steps_;     // panels of filters, steps of a tap
  std::int64_t step_bytes_;         // of a panel
  Scratch<std::uint8_t> packed_;    // (panel, plane, tap, step, filter)
  Scratch<std::int32_t> tap_sums_;  // (tap, filter up to the end of the last panel): what a tap adds beside its matches
  std::shared_ptr<LastRectangles> last_;
};

/// y = the sums. x: planes of w.activation(); y: (batch, out_height(), out_width(), out_channels). Throws Error as
/// ConvShape::validate() and BitWeights::validate() do.
void bit_conv2d(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, std::int32_t* y);
/// y = scale * the sums + bias as floats, as conv2d_forward_codes() has them (core/compute/conv_codes.h): the sum is
/// rounded to float, then one fused multiply-add. One scale, or one for each output channel; bias (out_channels) may be
/// null. Throws Error also for another number of scales.
void bit_conv2d_scaled(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, std::span<const float> scale,
                       const float* bias, ElementSink<float> y);
/// The levels of the sums as a byte each, laid out like y; throws Error also where `t` has not a channel for each
/// output.
void bit_conv2d_levels(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, const BitThresholds& t,
                       std::uint8_t* levels);
/// The levels of the sums as t.bits() planes, 1 to 8; throws as bit_conv2d_levels() does.
void bit_conv2d_planes(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, const BitThresholds& t,
                       std::uint64_t* planes);

/// The shape of a dense layer, and of a product of matrices of codes: x (batch, in) times weight (out, in) transposed.
constexpr ConvShape bit_linear_shape(std::int64_t batch, std::int64_t in, std::int64_t out) {
  return {
      .batch = batch, .height = 1, .width = 1, .in_channels = in, .out_channels = out, .kernel_h = 1, .kernel_w = 1};
}

}  // namespace coarsegrad
