#pragma once
// Two-dimensional convolution (cross-correlation, as everywhere in this field) on channels-last images.
// T is float or double. Bitwise the same for any number of threads.
#include <cstdint>

namespace coarsegrad {

/// Sizes of one convolution. x: (batch, height, width, in_channels); weight: (out_channels, kernel_h, kernel_w,
/// in_channels / groups); y: (batch, out_height(), out_width(), out_channels). Padding is with zeros.
struct ConvShape {
  std::int64_t batch, height, width, in_channels, out_channels, kernel_h, kernel_w;
  std::int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;

  std::int64_t out_height() const { return (height + 2 * pad_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1; }
  std::int64_t out_width() const { return (width + 2 * pad_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1; }
};

/// y = conv(x, weight) + bias; bias (out_channels) may be null.
template <class T>
void conv2d_forward(const ConvShape& s, const T* x, const T* weight, const T* bias, T* y);
/// dx = the gradient with respect to x.
template <class T>
void conv2d_backward_data(const ConvShape& s, const T* dy, const T* weight, T* dx);
/// dweight = the gradient with respect to the weight.
template <class T>
void conv2d_backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight);

}  // namespace coarsegrad
