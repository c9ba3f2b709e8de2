#include "core/compute/pool.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/compute/row_tasks.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {

void PoolShape::validate() const {
  check(batch >= 0 && channels >= 0 && height >= 1 && width >= 1, "pool: given images of ", height, " x ", width,
        " pixels, expected at least 1 x 1");
  check(kernel_h >= 1 && kernel_w >= 1 && stride_h >= 1 && stride_w >= 1 && kernel_h * kernel_w <= 65536,
        "pool: given a window of ", kernel_h, " x ", kernel_w, " with stride ", stride_h, " x ", stride_w,
        ", expected at least 1 each and at most 65536 places");
  check(pad_h >= 0 && pad_w >= 0 && 2 * pad_h <= kernel_h && 2 * pad_w <= kernel_w, "pool: given padding ", pad_h,
        " x ", pad_w, ", expected at most half of the window ", kernel_h, " x ", kernel_w);
  check(out_height() > 0 && out_width() > 0, "pool: given a window of ", kernel_h, " x ", kernel_w,
        ", expected one that fits into the padded image of ", height + 2 * pad_h, " x ", width + 2 * pad_w);
}

namespace {

using kernels::PoolRun;

// The part of a window that lies in the image: `begin` is the first pixel, `first` its place in the window.
struct Cut {
  std::int64_t begin, first, size;
};
Cut cut(std::int64_t o, std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
  const std::int64_t start = o * stride - pad, begin = std::max<std::int64_t>(start, 0);
  return {begin, begin - start, std::min(start + kernel, in) - begin};
}

// Calls f(run, offset into x, offset into y) for the runs of equal windows of row oh of image n.
template <class F>
void for_each_run(const PoolShape& s, std::int64_t n, std::int64_t oh, F f) {
  const std::int64_t out_w = s.out_width();
  const Cut v = cut(oh, s.height, s.kernel_h, s.stride_h, s.pad_h);
  const std::int64_t x_row = (n * s.height + v.begin) * s.width, y_row = (n * s.out_height() + oh) * out_w;
  for (std::int64_t ow = 0, count = 1; ow < out_w; ow += count) {
    const Cut h = cut(ow, s.width, s.kernel_w, s.stride_w, s.pad_w);
    // After a window that is not cut off, the same holds up to the last one that ends inside the image.
    count = h.size < s.kernel_w ? 1 : (s.width + s.pad_w - s.kernel_w) / s.stride_w - ow + 1;
    const PoolRun run{count,
                      s.stride_w * s.channels,
                      v.size,
                      h.size,
                      s.width * s.channels,
                      s.channels,
                      static_cast<std::int32_t>(v.first * s.kernel_w + h.first),
                      static_cast<std::int32_t>(s.kernel_w)};
    f(run, (x_row + h.begin) * s.channels, (y_row + ow) * s.channels);
  }
}

// Forward passes write each output once: tasks are groups of output rows.
template <class F>
void for_each_output_run(const PoolShape& s, F f) {
  const std::int64_t out_h = s.out_height(), rows = s.batch * out_h;
  const std::int64_t row_elements = std::max<std::int64_t>(s.stride_h * s.width * s.channels, 1);
  parallel_ranges(rows, std::max<std::int64_t>(kTaskElements / row_elements, 1),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) for_each_run(s, r / out_h, r % out_h, f);
                  });
}

// Backward passes add to pixels that windows share: tasks are groups of images. dx is set to 0 first, unless
// the runs write all of it.
template <class T, class F>
void for_each_input_run(const PoolShape& s, bool written_entirely, T* dx, F f) {
  const std::int64_t image = s.height * s.width * s.channels;
  const std::int64_t step = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>(image, 1), 1);
  parallel_ranges(s.batch, step, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      if (!written_entirely) std::fill_n(dx + n * image, image, T(0));
      for (std::int64_t oh = 0; oh < s.out_height(); ++oh) for_each_run(s, n, oh, f);
    }
  });
}

}  // namespace

template <class T>
void max_pool_forward(const PoolShape& s, const T* x, T* y, std::uint16_t* number) {
  s.validate();
  const auto forward = real_kernels<T>().pool.max_forward;
  for_each_output_run(s, [&](const PoolRun& run, std::int64_t in, std::int64_t out) {
    forward(run, x + in, y + out, number ? number + out : nullptr);
  });
}

template <class T>
void max_pool_backward(const PoolShape& s, const T* dy, const std::uint16_t* number, T* dx) {
  s.validate();
  const bool disjoint = s.stride_h >= s.kernel_h && s.stride_w >= s.kernel_w;
  const bool tiled = s.stride_h == s.kernel_h && s.stride_w == s.kernel_w && s.pad_h == 0 && s.pad_w == 0 &&
                     s.height % s.kernel_h == 0 && s.width % s.kernel_w == 0;
  const auto& pool = real_kernels<T>().pool;
  const auto backward = disjoint ? pool.max_backward_disjoint : pool.max_backward;
  for_each_input_run(s, tiled, dx, [&](const PoolRun& run, std::int64_t in, std::int64_t out) {
    backward(run, dy + out, number + out, dx + in);
  });
}

template <class T>
void average_pool_forward(const PoolShape& s, const T* x, bool count_padding, T* y) {
  s.validate();
  const auto forward = real_kernels<T>().pool.average_forward;
  for_each_output_run(s, [&](const PoolRun& run, std::int64_t in, std::int64_t out) {
    forward(run, x + in, static_cast<T>(count_padding ? s.kernel_h * s.kernel_w : run.rows * run.cols), y + out);
  });
}

template <class T>
void average_pool_backward(const PoolShape& s, const T* dy, bool count_padding, T* dx) {
  s.validate();
  const auto backward = real_kernels<T>().pool.average_backward;
  for_each_input_run(s, false, dx, [&](const PoolRun& run, std::int64_t in, std::int64_t out) {
    backward(run, dy + out, static_cast<T>(count_padding ? s.kernel_h * s.kernel_w : run.rows * run.cols), dx + in);
  });
}

template <class T>
void global_average_pool_forward(std::int64_t batch, std::int64_t pixels, std::int64_t channels, const T* x, T* y) {
  check(pixels > 0, "global average pool: given images without pixels");
  const std::int64_t image = pixels * channels;
  const RowTasks whole(pixels, channels, 1);
  const std::int64_t step = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>(image, 1), 1);
  parallel_ranges(batch, step, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<double> sums(static_cast<std::size_t>(channels + whole.wide_cols()));
    double* const wide = sums.data() + channels;
    for (std::int64_t n = begin; n < end; ++n) {
      std::fill_n(sums.data(), channels, 0.0);
      whole.sweep(0, [&](std::int64_t first, std::int64_t rows, std::int64_t cols) {
        real_kernels<T>().elementwise.column_sums(rows, cols, x + n * image + first, wide);
        whole.add_folded(wide, cols, sums.data());
      });
      for (std::int64_t c = 0; c < channels; ++c)
        y[n * channels + c] = static_cast<T>(sums.data()[c] / static_cast<double>(pixels));
    }
  });
}

template <class T>
void global_average_pool_backward(std::int64_t batch, std::int64_t pixels, std::int64_t channels, const T* dy, T* dx) {
  const std::int64_t image = pixels * channels;
  const std::int64_t step = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>(image, 1), 1);
  parallel_ranges(batch, step, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      T* const first = dx + n * image;
      for (std::int64_t c = 0; c < channels; ++c) first[c] = dy[n * channels + c] / static_cast<T>(pixels);
      for (std::int64_t p = 1; p < pixels; ++p) std::copy_n(first, channels, first + p * channels);
    }
  });
}

#define COARSEGRAD_INSTANTIATE(T)                                                                    \
  template void max_pool_forward(const PoolShape&, const T*, T*, std::uint16_t*);                    \
  template void max_pool_backward(const PoolShape&, const T*, const std::uint16_t*, T*);             \
  template void average_pool_forward(const PoolShape&, const T*, bool, T*);                          \
  template void average_pool_backward(const PoolShape&, const T*, bool, T*);                         \
  template void global_average_pool_forward(std::int64_t, std::int64_t, std::int64_t, const T*, T*); \
  template void global_average_pool_backward(std::int64_t, std::int64_t, std::int64_t, const T*, T*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
