#include "core/compute/code_sweeps.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

template <class In>
const kernels::CodeSweeps<In>& kernel() {
  return active_kernels().codes.of<In>();
}

// One row of outputs: the rows of its windows into one, then the pixels of each window.
template <class In>
void pool_row(const PoolShape& s, const In* image, std::int64_t out_row, In* highest, In* y) {
  const std::int64_t row = s.width * s.channels, top = out_row * s.stride_h - s.pad_h;
  const std::int64_t first_y = std::max(top, std::int64_t{0}), last_y = std::min(top + s.kernel_h, s.height);
  std::copy_n(image + first_y * row, row, highest);
  for (std::int64_t iy = first_y + 1; iy < last_y; ++iy) kernel<In>().raise(row, image + iy * row, highest);
  for (std::int64_t ox = 0; ox < s.out_width(); ++ox, y += s.channels) {
    const std::int64_t left = ox * s.stride_w - s.pad_w;
    const std::int64_t first_x = std::max(left, std::int64_t{0}), last_x = std::min(left + s.kernel_w, s.width);
    std::copy_n(highest + first_x * s.channels, s.channels, y);
    for (std::int64_t ix = first_x + 1; ix < last_x; ++ix) kernel<In>().raise(s.channels, highest + ix * s.channels, y);
  }
}

}  // namespace

template <class In>
void max_pool_codes(const PoolShape& s, const In* x, In* y) {
  s.validate();
  const std::int64_t row = s.out_width() * s.channels;
  const std::int64_t together =
      std::max(kTaskElements / std::max(s.kernel_h * s.width * s.channels, std::int64_t{1}), std::int64_t{1});
  parallel_ranges(s.batch * s.out_height(), together, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<In> highest(static_cast<std::size_t>(s.width * s.channels));
    for (std::int64_t r = begin; r < end; ++r)
      pool_row(s, x + r / s.out_height() * s.height * s.width * s.channels, r % s.out_height(), highest.data(),
               y + r * row);
  });
}

template <class In>
void sum_codes(std::int64_t batch, std::int64_t pixels, std::int64_t channels, const In* x, std::int32_t* sums) {
  constexpr std::int64_t most = std::int64_t{1} << 23;  // times 255 or 128
  check(batch >= 0 && channels >= 0 && pixels >= 0 && pixels <= most, "sum_codes: given ", batch, " images of ", pixels,
        " pixels of ", channels, " channels, expected 0 or more, and at most ", most, " pixels");
  parallel_for(batch, [&](std::int64_t n) {
    std::fill_n(sums + n * channels, channels, 0);
    for (std::int64_t p = n * pixels; p < (n + 1) * pixels; ++p)
      kernel<In>().accumulate(channels, x + p * channels, sums + n * channels);
  });
}

template <class In>
void add_codes(std::int64_t n, const In* a, const In* b, std::int16_t* y) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    kernel<In>().add(end - begin, a + begin, b + begin, y + begin);
  });
}

template <class In>
void add_scaled_codes(std::int64_t n, const In* a, float a_scale, const In* b, float b_scale, float* y) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    kernel<In>().add_scaled(end - begin, a + begin, a_scale, b + begin, b_scale, y + begin);
  });
}

template void max_pool_codes(const PoolShape&, const std::uint8_t*, std::uint8_t*);
template void sum_codes(std::int64_t, std::int64_t, std::int64_t, const std::uint8_t*, std::int32_t*);
template void add_codes(std::int64_t, const std::uint8_t*, const std::uint8_t*, std::int16_t*);
template void add_scaled_codes(std::int64_t, const std::uint8_t*, float, const std::uint8_t*, float, float*);
template void max_pool_codes(const PoolShape&, const std::int8_t*, std::int8_t*);
template void sum_codes(std::int64_t, std::int64_t, std::int64_t, const std::int8_t*, std::int32_t*);
template void add_codes(std::int64_t, const std::int8_t*, const std::int8_t*, std::int16_t*);
template void add_scaled_codes(std::int64_t, const std::int8_t*, float, const std::int8_t*, float, float*);

}  // namespace coarsegrad
