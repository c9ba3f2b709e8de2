#include "core/compute/conv_codes.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/compute/conv_correlate.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using kernels::kCodesPerStep;

const kernels::MatmulCodes& kernel() { return active_kernels().matmul_codes; }

std::int64_t whole_steps(std::int64_t channels) {
  return (channels + kCodesPerStep - 1) / kCodesPerStep * kCodesPerStep;
}

// to = `rows` rows of `columns` codes, each followed by zeros up to to_columns.
template <class Code>
void pad_rows(std::int64_t rows, std::int64_t columns, const Code* from, std::int64_t to_columns, Code* to) {
  parallel_ranges(rows, std::max(kTaskElements / std::max(to_columns, std::int64_t{1}), std::int64_t{1}),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      std::copy_n(from + r * columns, columns, to + r * to_columns);
                      std::fill(to + r * to_columns + columns, to + (r + 1) * to_columns, Code{0});
                    }
                  });
}

// `rows` rows of codes, padded to whole steps: the codes themselves where they need no padding.
template <class Code>
class WholeRows {
 public:
  WholeRows(std::int64_t rows, std::int64_t columns, const Code* codes)
      : codes_(codes), padded_(is_whole(columns) ? 0 : static_cast<std::size_t>(rows * whole_steps(columns))) {
    if (is_whole(columns)) return;
    pad_rows(rows, columns, codes, whole_steps(columns), padded_.data());
    codes_ = padded_.data();
  }
  const Code* data() const { return codes_; }

 private:
  static bool is_whole(std::int64_t columns) { return columns % kCodesPerStep == 0; }
  const Code* codes_;
  Scratch<Code> padded_;
};

// The weights of `channels` filters of `depth` codes (whole steps), in panels.
class PackedWeights {
 public:
  PackedWeights(std::int64_t channels, std::int64_t depth, const std::int8_t* weight)
      : panels_(kernel(), channels), packed_(static_cast<std::size_t>(panels_.count * panels_.width * depth)) {
    direct::pack_panels(panels_, panels_.width * depth, [&](std::int64_t panel) {
      const std::int64_t first = panel * panels_.width * depth;
      kernel().pack(panels_.columns(panel), static_cast<int>(panels_.width), depth / kCodesPerStep, weight + first,
                    depth, packed_.data() + first);
    });
  }
  const direct::Panels& panels() const { return panels_; }
  const std::int8_t* data() const { return packed_.data(); }

 private:
  direct::Panels panels_;
  Scratch<std::int8_t> packed_;
};

using Correlation = direct::Correlation<std::uint8_t, std::int8_t>;

// No groups, no dilation: images are read as they lie.
void forward_direct(const ConvShape& s, const std::uint8_t* x, const std::int8_t* weight, const float* scale,
                    const float* bias, float* y) {
  const std::int64_t taps = s.kernel_h * s.kernel_w, channels = whole_steps(s.in_channels);
  const WholeRows<std::uint8_t> images(s.batch * s.height * s.width, s.in_channels, x);
  const WholeRows<std::int8_t> filters(s.out_channels * taps, s.in_channels, weight);
  const PackedWeights packed(s.out_channels, taps * channels, filters.data());
  Correlation c = direct::forward_pass<std::uint8_t, std::int8_t>(s, images.data(), channels, y);
  c.panels = packed.data();
  c.panel_row = packed.panels().width;
  c.step_channels = kCodesPerStep;
  c.scale = scale;
  c.bias = bias;
  direct::correlate(kernel(), c, packed.panels());
}

// to(pixel, tap, channel) = what the filters of a group meet at each output pixel of one image; rows of `depth` codes.
void gather_columns(const ConvShape& s, const std::uint8_t* image, std::int64_t depth, std::uint8_t* to) {
  const std::int64_t channels = s.in_channels / s.groups;
  std::fill_n(to, s.out_height() * s.out_width() * depth, std::uint8_t{0});
  for (std::int64_t oy = 0; oy < s.out_height(); ++oy)
    for (std::int64_t ox = 0; ox < s.out_width(); ++ox, to += depth)
      for (std::int64_t tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
        const std::int64_t iy = oy * s.stride_h - s.pad_h + tap / s.kernel_w * s.dilation_h;
        const std::int64_t ix = ox * s.stride_w - s.pad_w + tap % s.kernel_w * s.dilation_w;
        if (iy >= 0 && iy < s.height && ix >= 0 && ix < s.width)
          std::copy_n(image + (iy * s.width + ix) * s.in_channels, channels, to + tap * channels);
      }
}

// Any shape: a 1x1 convolution of the column matrix, one group and one image at a time.
void forward_columns(const ConvShape& s, const std::uint8_t* x, const std::int8_t* weight, const float* scale,
                     const float* bias, float* y) {
  const std::int64_t taps = s.kernel_h * s.kernel_w * (s.in_channels / s.groups), depth = whole_steps(taps);
  const std::int64_t pixels = s.out_height() * s.out_width(), outputs = s.out_channels / s.groups;
  const WholeRows<std::int8_t> filters(s.out_channels, taps, weight);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    const std::int64_t first = g * outputs;
    const PackedWeights packed(outputs, depth, filters.data() + first * depth);
    parallel_for(s.batch, [&](std::int64_t n) {
      const Scratch<std::uint8_t> columns(static_cast<std::size_t>(pixels * depth));
      gather_columns(s, x + n * s.height * s.width * s.in_channels + g * (s.in_channels / s.groups), depth,
                     columns.data());
      direct::correlate(kernel(),
                        Correlation{.in = columns.data(),
                                    .batch = 1,
                                    .height = 1,
                                    .width = pixels,
                                    .channels = depth,
                                    .out = y + n * pixels * s.out_channels + first,
                                    .rows = 1,
                                    .columns = pixels,
                                    .out_image = pixels * s.out_channels,
                                    .out_row = pixels * s.out_channels,
                                    .out_pixel = s.out_channels,
                                    .taps_h = 1,
                                    .taps_w = 1,
                                    .stride_h = 1,
                                    .stride_w = 1,
                                    .origin_h = 0,
                                    .origin_w = 0,
                                    .panels = packed.data(),
                                    .panel_row = packed.panels().width,
                                    .step_channels = kCodesPerStep,
                                    .scale = scale + first,
                                    .bias = bias ? bias + first : nullptr},
                        packed.panels());
    });
  }
}

}  // namespace

void conv2d_forward_codes(const ConvShape& s, const std::uint8_t* x, const std::int8_t* weight,
                          std::span<const float> scale, const float* bias, float* y) {
  s.validate("conv2d_forward_codes");
  const auto scales = static_cast<std::int64_t>(scale.size());
  check(scales == 1 || scales == s.out_channels, "conv2d_forward_codes: given ", scales,
        " scales, expected 1 or one for each of ", s.out_channels, " channels");
  const std::int64_t depth = s.kernel_h * s.kernel_w * (s.in_channels / s.groups);
  check(depth <= kernels::kMaxCodeDepth, "conv2d_forward_codes: given ", depth,
        " products per output, expected at most ", kernels::kMaxCodeDepth, ", whose sum fits into 32 bits");
  const Scratch<float> scale_of_channel(static_cast<std::size_t>(s.out_channels));
  for (std::int64_t o = 0; o < s.out_channels; ++o)
    scale_of_channel[static_cast<std::size_t>(o)] = scale[static_cast<std::size_t>(scales == 1 ? 0 : o)];
  const bool direct = s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1;
  (direct ? forward_direct : forward_columns)(s, x, weight, scale_of_channel.data(), bias, y);
}

void linear_forward_codes(std::int64_t batch, std::int64_t in, std::int64_t out, const std::uint8_t* x,
                          const std::int8_t* weight, std::span<const float> scale, const float* bias, float* y) {
  conv2d_forward_codes(
      {.batch = batch, .height = 1, .width = 1, .in_channels = in, .out_channels = out, .kernel_h = 1, .kernel_w = 1},
      x, weight, scale, bias, y);
}

}  // namespace coarsegrad
