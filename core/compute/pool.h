#pragma once
// Pooling of channels-last images. T is float or double. Bitwise the same for any number of threads and every
// kernel table (global average pooling: for any number of threads).
#include <cstdint>

namespace coarsegrad {

/// Sizes of one pooling. x: (batch, height, width, channels); y: (batch, out_height(), out_width(), channels).
struct PoolShape {
  std::int64_t batch,     ///< images
      height,             ///< pixels of x from top to bottom, >= 1
      width,              ///< pixels of x from left to right, >= 1
      channels,           ///< of x and of y
      kernel_h,           ///< pixels of a window from top to bottom
      kernel_w;           ///< pixels of a window from left to right
  std::int64_t stride_h,  ///< pixels of x from a window to the one below
      stride_w,           ///< pixels of x from a window to its right neighbour
      pad_h = 0,          ///< rows of padding above the image, and as many below
      pad_w = 0;          ///< columns of padding on either side

  /// Extents of y in pixels; 0 where the window does not fit into the padded image.
  std::int64_t out_height() const { return out_extent(height, kernel_h, stride_h, pad_h); }
  std::int64_t out_width() const { return out_extent(width, kernel_w, stride_w, pad_w); }
  /// Throws Error unless kernels and strides are >= 1, 0 <= 2 * pad <= kernel, kernel_h * kernel_w <= 65536 and the
  /// window fits into the padded image.
  void validate() const;

 private:
  static constexpr std::int64_t out_extent(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                                           std::int64_t pad) {
    return in + 2 * pad < kernel ? 0 : (in + 2 * pad - kernel) / stride + 1;
  }
};

// The functions of a PoolShape throw Error as PoolShape::validate() does.

/// y = the largest value of each window; padding never wins. number (may be null): which of the kernel_h *
/// kernel_w places of the window it had, row by row: the first of several equal ones. A window with a NaN gives NaN.
template <class T>
void max_pool_forward(const PoolShape& s, const T* x, T* y, std::uint16_t* number);
/// dx: dy goes to the place that `number` says.
template <class T>
void max_pool_backward(const PoolShape& s, const T* dy, const std::uint16_t* number, T* dx);

/// y = mean of each window. The divisor counts the padding as zeros (PyTorch's default), or only pixels of the image.
template <class T>
void average_pool_forward(const PoolShape& s, const T* x, bool count_padding, T* y);
/// dx: the mean's share of dy for each pixel of a window.
template <class T>
void average_pool_backward(const PoolShape& s, const T* dy, bool count_padding, T* dx);

/// x: (batch, pixels, channels), y: (batch, channels): mean over the pixels, summed in double. Throws Error
/// without pixels.
template <class T>
void global_average_pool_forward(std::int64_t batch, std::int64_t pixels, std::int64_t channels, const T* x, T* y);
/// dx = dy / pixels at each pixel.
template <class T>
void global_average_pool_backward(std::int64_t batch, std::int64_t pixels, std::int64_t channels, const T* dy, T* dx);

}  // namespace coarsegrad
