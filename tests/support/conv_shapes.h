#pragma once
// For tests of convolutions: the definition, and the shapes that they are tried on.
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/conv.h"

namespace coarsegrad::testing {

inline std::string name(const ConvShape& s) {
  return cat("batch ", s.batch, " image ", s.height, "x", s.width, "x", s.in_channels, " to ", s.out_channels,
             " kernel ", s.kernel_h, "x", s.kernel_w, " stride ", s.stride_h, ",", s.stride_w, " pad ", s.pad_h, ",",
             s.pad_w, " dilation ", s.dilation_h, ",", s.dilation_w, " groups ", s.groups);
}

inline std::int64_t x_size(const ConvShape& s) { return s.batch * s.height * s.width * s.in_channels; }
inline std::int64_t y_size(const ConvShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }
inline std::int64_t weight_size(const ConvShape& s) {
  return s.out_channels * s.kernel_h * s.kernel_w * s.in_channels / s.groups;
}

// The definition: calls f(index in x, index in weight, index in y) for every product that the convolution sums.
template <class F>
void for_each_product(const ConvShape& s, F&& f) {
  const std::int64_t ci = s.in_channels / s.groups, co = s.out_channels / s.groups;
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t oy = 0; oy < s.out_height(); ++oy)
      for (std::int64_t ox = 0; ox < s.out_width(); ++ox)
        for (std::int64_t ky = 0; ky < s.kernel_h; ++ky)
          for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
            const std::int64_t iy = oy * s.stride_h - s.pad_h + ky * s.dilation_h;
            const std::int64_t ix = ox * s.stride_w - s.pad_w + kx * s.dilation_w;
            if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
            for (std::int64_t o = 0; o < s.out_channels; ++o) {
              const std::int64_t in_x = ((n * s.height + iy) * s.width + ix) * s.in_channels + o / co * ci;
              const std::int64_t in_weight = ((o * s.kernel_h + ky) * s.kernel_w + kx) * ci;
              const std::int64_t in_y = ((n * s.out_height() + oy) * s.out_width() + ox) * s.out_channels + o;
              for (std::int64_t c = 0; c < ci; ++c) f(in_x + c, in_weight + c, in_y);
            }
          }
}

// One thread while it lives: thousands of small convolutions are not worth waking threads, least of all on a
// machine that is busy with other tests. The cut into tasks is the same.
struct OneThread {
  int before = num_threads();
  OneThread() { set_num_threads(1); }
  ~OneThread() { set_num_threads(before); }
};

inline ConvShape square(std::int64_t batch, std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel,
                        std::int64_t stride, std::int64_t pad) {
  return {.batch = batch,
          .height = size,
          .width = size,
          .in_channels = in,
          .out_channels = out,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .pad_h = pad,
          .pad_w = pad};
}

/// Every combination of channels, kernel, stride and padding, on images that change from one to the next.
template <class F>
void for_each_ordinary_shape(F&& f) {
  int turn = 0;
  for (std::int64_t in : {1, 3, 5, 16, 17, 33})
    for (std::int64_t out : {1, 3, 5, 16, 17, 33})
      for (std::int64_t kernel : {1, 2, 3, 4, 5})
        for (std::int64_t stride : {1, 2, 3})
          for (std::int64_t pad : {0, 1, 2, 3}) {
            const int t = turn++;
            if (in * out > 100 && t % 5 != 0) continue;  // the naive reference is slow there
            ConvShape s = square(t % 7 ? t % 3 : 3, 1, in, out, kernel, stride, pad);
            s.height = 1 + t % 11, s.width = 1 + t % 8;
            if (s.out_height() >= 0 && s.out_width() >= 0) f(s);
          }
}

/// Shapes whose rows and columns differ in everything, with groups and dilation.
template <class F>
void for_each_unusual_shape(F&& f) {
  for (std::int64_t i = 0; i < 120; ++i) {
    const std::int64_t groups = i % 4 + 1;
    const ConvShape s{.batch = i % 3,
                      .height = 3 + i % 7,
                      .width = 2 + i % 9,
                      .in_channels = groups * (1 + i % 5),
                      .out_channels = groups * (1 + i % 6),
                      .kernel_h = 1 + i % 4,
                      .kernel_w = 1 + i % 3,
                      .stride_h = 1 + i % 3,
                      .stride_w = 1 + i / 2 % 3,
                      .pad_h = i % 5,
                      .pad_w = i / 3 % 4,
                      .dilation_h = 1 + i / 4 % 3,
                      .dilation_w = 1 + i / 5 % 2,
                      .groups = groups};
    if (s.out_height() >= 0 && s.out_width() >= 0) f(s);
  }
}

inline const std::vector<ConvShape> kCorners = {
    square(2, 1, 1, 1, 1, 1, 0),  // one element
    square(1, 1, 1, 1, 1, 1, 3),  // nothing but padding around one element
    square(2, 2, 3, 5, 3, 1, 5),  // padding larger than the image and than the kernel reaches
    square(2, 1, 5, 3, 2, 2, 1), square(9, 0, 3, 4, 1, 1, 1),    // images without pixels
    square(0, 5, 3, 4, 3, 1, 1), square(1, 5, 3, 4, 1, 4, 0),    // a stride that skips input
    square(2, 9, 2, 3, 2, 5, 1), square(0, 8, 16, 16, 3, 1, 1),  // no image for Winograd's algorithm
};

/// Layers of the networks of the papers, the batch large enough for several tasks.
inline const std::vector<ConvShape> kLayers = {square(9, 28, 1, 32, 5, 1, 0),   square(9, 12, 32, 64, 5, 1, 0),
                                               square(3, 32, 3, 16, 3, 1, 1),   square(3, 32, 16, 32, 3, 2, 1),
                                               square(5, 16, 32, 64, 3, 2, 1),  square(5, 8, 64, 64, 3, 1, 1),
                                               square(3, 32, 16, 32, 1, 2, 0),  square(3, 8, 128, 256, 3, 1, 1),
                                               square(5, 4, 256, 512, 3, 1, 1), square(17, 2, 512, 512, 3, 1, 1)};

/// Layers that are worth Winograd's algorithm; tiles that the images do not fill, channels that the vectors
/// do not fill, and every padding.
inline const std::vector<ConvShape> kWinogradLayers = {
    square(16, 8, 64, 64, 3, 1, 1),  square(5, 16, 64, 128, 3, 1, 1), square(67, 4, 70, 65, 3, 1, 1),
    square(17, 7, 65, 99, 3, 1, 1),  square(7, 18, 64, 80, 3, 1, 0),  square(5, 14, 96, 64, 3, 1, 2),
    square(64, 4, 256, 64, 3, 1, 1), square(3, 32, 16, 16, 3, 1, 1),  square(5, 16, 32, 32, 3, 1, 1),
    square(9, 12, 17, 35, 3, 1, 1),  square(3, 28, 16, 16, 5, 1, 2),  square(1, 45, 33, 40, 5, 1, 2),
    square(1, 64, 17, 16, 5, 1, 2)};

}  // namespace coarsegrad::testing
