#include "core/compute/conv_columns.h"

#include <algorithm>
#include <cmath>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/gemm.h"

namespace coarsegrad::columns {
namespace {

std::int64_t pixels(const ConvShape& s) { return s.out_height() * s.out_width(); }
std::int64_t group_in(const ConvShape& s) { return s.in_channels / s.groups; }
std::int64_t group_out(const ConvShape& s) { return s.out_channels / s.groups; }
/// Length of a row of the column matrix: all taps of one filter.
std::int64_t taps(const ConvShape& s) { return s.kernel_h * s.kernel_w * group_in(s); }

// Calls f(offset into `image` or -1 where the tap is on padding, offset into the column matrix) for every
// output pixel and tap; each stands for group_in(s) neighbouring channels.
template <class F>
void for_each_tap(const ConvShape& s, F&& f) {
  std::int64_t column = 0;
  for (std::int64_t oy = 0; oy < s.out_height(); ++oy)
    for (std::int64_t ox = 0; ox < s.out_width(); ++ox)
      for (std::int64_t ky = 0; ky < s.kernel_h; ++ky)
        for (std::int64_t kx = 0; kx < s.kernel_w; ++kx, column += group_in(s)) {
          const std::int64_t iy = oy * s.stride_h - s.pad_h + ky * s.dilation_h;
          const std::int64_t ix = ox * s.stride_w - s.pad_w + kx * s.dilation_w;
          const bool inside = iy >= 0 && iy < s.height && ix >= 0 && ix < s.width;
          f(inside ? (iy * s.width + ix) * s.in_channels : -1, column);
        }
}

template <class T>
void image_to_columns(const ConvShape& s, const T* image, T* columns) {
  const std::int64_t n = group_in(s);
  for_each_tap(s, [&](std::int64_t from, std::int64_t to) {
    if (from >= 0)
      std::copy_n(image + from, n, columns + to);
    else
      std::fill_n(columns + to, n, T{0});
  });
}

template <class T>
void add_columns_to_image(const ConvShape& s, const T* columns, T* image) {
  const std::int64_t n = group_in(s);
  for_each_tap(s, [&](std::int64_t to, std::int64_t from) {
    for (std::int64_t c = 0; to >= 0 && c < n; ++c) image[to + c] += columns[from + c];
  });
}

template <class T>
std::size_t column_size(const ConvShape& s) {
  return static_cast<std::size_t>(pixels(s) * taps(s));
}

// Calls f(image) for all images. Threads are not woken for less than a million products.
template <class F>
void for_each_image(const ConvShape& s, F&& f) {
  constexpr std::int64_t kProductsPerTask = std::int64_t{1} << 20;
  const std::int64_t products = s.batch * pixels(s) * taps(s) * s.out_channels;
  const std::int64_t parts =
      std::clamp(products / kProductsPerTask, std::int64_t{1}, std::max(s.batch, std::int64_t{1}));
  parallel_for(parts, [&](std::int64_t part) {
    const TaskRange images = part_of(s.batch, parts, part);
    for (std::int64_t n = images.begin; n < images.end; ++n) f(n);
  });
}

// Padding is multiplied like pixels: a factor that is not finite would make NaN of what it shares with
// nothing but padding.
template <class T>
bool spreads_over_padding(const ConvShape& s, const T* factors, std::int64_t n) {
  return (s.pad_h > 0 || s.pad_w > 0) && !std::all_of(factors, factors + n, [](T v) { return std::isfinite(v); });
}

// Calls f(index in the image, in the kernel, in the output) for each product of one image, those with
// padding left out: slow, for what is not finite.
template <class F>
void for_each_product(const ConvShape& s, F&& f) {
  for_each_tap(s, [&](std::int64_t from, std::int64_t column) {
    const std::int64_t pixel = column / taps(s), tap = column % taps(s);
    for (std::int64_t o = 0; from >= 0 && o < s.out_channels; ++o)
      for (std::int64_t c = 0; c < group_in(s); ++c)
        f(from + o / group_out(s) * group_in(s) + c, o * taps(s) + tap + c, pixel * s.out_channels + o);
  });
}

template <class T>
void forward_by_products(const ConvShape& s, const T* x, const T* weight, const T* bias, T* y) {
  const std::int64_t outputs = pixels(s) * s.out_channels;
  for_each_image(s, [&](std::int64_t n) {
    const Scratch<double> sums(static_cast<std::size_t>(outputs));
    for (std::int64_t i = 0; i < outputs; ++i)
      sums.data()[i] = bias ? static_cast<double>(bias[i % s.out_channels]) : 0;
    const T* image = x + n * s.height * s.width * s.in_channels;
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      sums.data()[iy] += static_cast<double>(image[ix]) * static_cast<double>(weight[iw]);
    });
    for (std::int64_t i = 0; i < outputs; ++i) y[n * outputs + i] = static_cast<T>(sums.data()[i]);
  });
}

template <class T>
void backward_weight_by_products(const ConvShape& s, const T* x, const T* dy, T* dweight) {
  const std::int64_t size = s.out_channels * taps(s);
  const Scratch<double> sums(static_cast<std::size_t>(size));
  std::fill_n(sums.data(), size, 0.0);
  for (std::int64_t n = 0; n < s.batch; ++n) {
    const T* image = x + n * s.height * s.width * s.in_channels;
    const T* gradient = dy + n * pixels(s) * s.out_channels;
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      sums.data()[iw] += static_cast<double>(image[ix]) * static_cast<double>(gradient[iy]);
    });
  }
  for (std::int64_t i = 0; i < size; ++i) dweight[i] = static_cast<T>(sums.data()[i]);
}

}  // namespace

template <class T>
void forward(const ConvShape& s, const T* x, const T* weight, const T* bias, T* y) {
  if (spreads_over_padding(s, weight, s.out_channels * taps(s))) return forward_by_products(s, x, weight, bias, y);
  for_each_image(s, [&](std::int64_t n) {
    const Scratch<T> columns(column_size<T>(s));
    const T* image = x + n * s.height * s.width * s.in_channels;
    T* out = y + n * pixels(s) * s.out_channels;
    for (std::int64_t p = 0; bias && p < pixels(s); ++p) std::copy_n(bias, s.out_channels, out + p * s.out_channels);
    for (std::int64_t g = 0; g < s.groups; ++g) {
      image_to_columns(s, image + g * group_in(s), columns.data());
      gemm<T>(pixels(s), group_out(s), taps(s), {columns.data(), taps(s)},
              {weight + g * group_out(s) * taps(s), taps(s), true}, out + g * group_out(s), s.out_channels,
              bias != nullptr);
    }
  });
}

template <class T>
void backward_data(const ConvShape& s, const T* dy, const T* weight, T* dx) {
  const std::int64_t image_size = s.height * s.width * s.in_channels;
  for_each_image(s, [&](std::int64_t n) {
    const Scratch<T> columns(column_size<T>(s));
    T* image = dx + n * image_size;
    std::fill_n(image, image_size, T{0});
    for (std::int64_t g = 0; g < s.groups; ++g) {
      gemm<T>(pixels(s), taps(s), group_out(s),
              {dy + n * pixels(s) * s.out_channels + g * group_out(s), s.out_channels},
              {weight + g * group_out(s) * taps(s), taps(s)}, columns.data(), taps(s));
      add_columns_to_image(s, columns.data(), image + g * group_in(s));
    }
  });
}

template <class T>
void backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight) {
  if (spreads_over_padding(s, dy, s.batch * pixels(s) * s.out_channels))
    return backward_weight_by_products(s, x, dy, dweight);
  constexpr std::int64_t kMaxParts = 8, kProductsPerTask = std::int64_t{1} << 20;
  const std::int64_t size = s.out_channels * taps(s), products = s.batch * pixels(s) * taps(s) * s.out_channels;
  const std::int64_t parts =
      std::clamp(products / kProductsPerTask, std::int64_t{1}, std::clamp(s.batch, std::int64_t{1}, kMaxParts));
  const Scratch<T> sums(static_cast<std::size_t>(parts * size));
  parallel_for(parts, [&](std::int64_t part) {
    const Scratch<T> columns(column_size<T>(s));
    T* sum = sums.data() + part * size;
    std::fill_n(sum, size, T{0});
    const TaskRange images = part_of(s.batch, parts, part);
    for (std::int64_t n = images.begin; n < images.end; ++n)
      for (std::int64_t g = 0; g < s.groups; ++g) {
        image_to_columns(s, x + n * s.height * s.width * s.in_channels + g * group_in(s), columns.data());
        gemm<T>(group_out(s), taps(s), pixels(s),
                {dy + n * pixels(s) * s.out_channels + g * group_out(s), s.out_channels, true},
                {columns.data(), taps(s)}, sum + g * group_out(s) * taps(s), taps(s), true);
      }
  });
  std::copy_n(sums.data(), size, dweight);
  for (std::int64_t part = 1; part < parts; ++part)
    for (std::int64_t i = 0; i < size; ++i) dweight[i] += sums.data()[part * size + i];
}

template void forward(const ConvShape&, const float*, const float*, const float*, float*);
template void forward(const ConvShape&, const double*, const double*, const double*, double*);
template void backward_data(const ConvShape&, const float*, const float*, float*);
template void backward_data(const ConvShape&, const double*, const double*, double*);
template void backward_weight(const ConvShape&, const float*, const float*, float*);
template void backward_weight(const ConvShape&, const double*, const double*, double*);

}  // namespace coarsegrad::columns
