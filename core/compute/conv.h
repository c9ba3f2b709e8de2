#pragma once
// Two-dimensional convolution (cross-correlation, as everywhere in this field) on channels-last images.
// T is float or double. Bitwise the same for any number of threads; y of an image is the same in every batch.
// Error against exact arithmetic, in epsilons of T times the sum of the magnitudes of the products: 16.
// Float layers of 3x3 or 5x5 kernels with 16 channels and more on both sides (backward weight: 32) and stride 1 use
// Winograd's F(4x4, 3x3) or F(2x2, 5x5) where it is faster, forward by the shape of an image alone (conv_winograd.h). It
// computes the outputs of a tile together from all 6x6 pixels that they see, and the error of each is relative to these:
// 128 epsilons times the sum over channels of the largest magnitude in the tile times the magnitudes of the taps (backward
// data: dy's tile; backward weight: the sum over tiles of the largest magnitude of x times the magnitudes of dy). For
// values of one order of magnitude this is 128 epsilons of the products' own magnitudes, too (in the middle of an image
// about 35); beside a pixel of 1e6 among values of about 1, outputs up to five pixels away are less exact by six digits,
// also where they do not see it.
// A value that is not finite, in any operand, reaches the results that it is a factor of and no others; it is
// none of those where it meets padding. Where Winograd's algorithm gives a result that is not finite, or
// overflows on the way, the image (backward weight: the whole sum) is computed again without it.
#include <cstdint>
#include <type_traits>

#include "core/base/elements.h"

namespace coarsegrad {

/// Sizes of one convolution. x: (batch, height, width, in_channels); weight: (out_channels, kernel_h,
/// kernel_w, in_channels / groups); y: (batch, out_height(), out_width(), out_channels). Padding is with zeros.
struct ConvShape {
  std::int64_t batch,         ///< images
      height,                 ///< pixels of x from top to bottom
      width,                  ///< pixels of x from left to right
      in_channels,            ///< a multiple of `groups`
      out_channels,           ///< a multiple of `groups`
      kernel_h,               ///< taps from top to bottom, >= 1
      kernel_w;               ///< taps from left to right, >= 1
  std::int64_t stride_h = 1,  ///< pixels of x from an output to the one below, >= 1
      stride_w = 1,           ///< pixels of x from an output to its right neighbour, >= 1
      pad_h = 0,              ///< rows of zeros above the image, and as many below
      pad_w = 0,              ///< columns of zeros on either side
      dilation_h = 1,         ///< pixels of x from a tap to the one below, >= 1
      dilation_w = 1,         ///< pixels of x from a tap to its right neighbour, >= 1
      groups = 1;             ///< parts of the channels that do not mix, >= 1

  /// Extents of y in pixels; -1 where the kernel does not fit into the padded image.
  std::int64_t out_height() const { return out_extent(height, kernel_h, stride_h, pad_h, dilation_h); }
  std::int64_t out_width() const { return out_extent(width, kernel_w, stride_w, pad_w, dilation_w); }
  /// Elements of x and of y.
  std::int64_t inputs() const { return batch * height * width * in_channels; }
  std::int64_t outputs() const { return batch * out_height() * out_width() * out_channels; }
  /// Throws Error in the name of `op` when the kernel does not fit into the padded image or the groups do not
  /// divide the channels.
  void validate(const char* op) const;

 private:
  static constexpr std::int64_t out_extent(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
                                           std::int64_t dilation) {
    const std::int64_t room = in + 2 * pad - dilation * (kernel - 1) - 1;
    return room >= 0 ? room / stride + 1 : -1;
  }
};

/// y = conv(x, weight) + bias; bias (out_channels) may be null. Images are read and written some at a time, and maybe
/// read more than once (core/base/elements.h). Throws Error as ConvShape::validate() does, and so do the two backward
/// passes.
template <class T>
void conv2d_forward(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* weight, const T* bias,
                    std::type_identity_t<ElementSink<T>> y);
/// dx = the gradient with respect to x, from dy, that with respect to y.
template <class T>
void conv2d_backward_data(const ConvShape& s, std::type_identity_t<Elements<T>> dy, const T* weight,
                          std::type_identity_t<ElementSink<T>> dx);
/// dweight = the gradient with respect to the weight, from dy, that with respect to y.
template <class T>
void conv2d_backward_weight(const ConvShape& s, std::type_identity_t<Elements<T>> x,
                            std::type_identity_t<Elements<T>> dy, T* dweight);

}  // namespace coarsegrad
