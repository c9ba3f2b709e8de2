// Forward and backward data. Both are correlations: the gradient with respect to x is the correlation of dy
// with the kernel turned round, one for each residue of the pixel's position modulo the stride.
#include "core/compute/conv_direct.h"

#include "core/base/memory.h"
#include "core/compute/conv_correlate.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::direct {
namespace {

const kernels::Matmul<float>& kernel() { return real_kernels<float>().matmul; }

// The kernel positions that meet the pixels i with (i + pad) % stride == residue: residue, residue + stride, ...
struct Residue {
  std::int64_t first_pixel, pixels, taps, origin;

  Residue(std::int64_t residue, std::int64_t inputs, std::int64_t kernel_size, std::int64_t stride, std::int64_t pad) {
    first_pixel = ((residue - pad) % stride + stride) % stride;
    pixels = first_pixel < inputs ? (inputs - first_pixel + stride - 1) / stride : 0;
    taps = residue < kernel_size ? (kernel_size - residue + stride - 1) / stride : 0;
    origin = (first_pixel + pad - residue) / stride - (taps - 1);  // the last tap comes first: outputs ascend
  }
};

// Panels of the kernel turned round: [tap row][tap column][output channel] x input channels, taps from last to first.
void pack_turned(const ConvShape& s, const float* weight, std::int64_t residue_h, std::int64_t residue_w,
                 const Residue& h, const Residue& w, const Panels& panels, float* to) {
  const std::int64_t kernel_row = s.kernel_w * s.in_channels, filter = s.kernel_h * kernel_row;
  pack_panels(panels, panels.width * h.taps * w.taps * s.out_channels, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width, n = panels.columns(panel);
    float* out = to + first * h.taps * w.taps * s.out_channels;
    for (std::int64_t ty = h.taps - 1; ty >= 0; --ty)
      for (std::int64_t tx = w.taps - 1; tx >= 0; --tx) {
        const float* tap =
            weight + (residue_h + ty * s.stride_h) * kernel_row + (residue_w + tx * s.stride_w) * s.in_channels + first;
        for (std::int64_t o = 0; o < s.out_channels; ++o, out += panels.width) std::copy_n(tap + o * filter, n, out);
      }
  });
}

void backward_data_of(const ConvShape& s, const float* dy, const float* weight, float* dx, std::int64_t residue_h,
                      std::int64_t residue_w) {
  const Residue h(residue_h, s.height, s.kernel_h, s.stride_h, s.pad_h);
  const Residue w(residue_w, s.width, s.kernel_w, s.stride_w, s.pad_w);
  const Panels panels(kernel(), s.in_channels);
  const Scratch<float> packed(static_cast<std::size_t>(panels.count * panels.width * h.taps * w.taps * s.out_channels));
  pack_turned(s, weight, residue_h, residue_w, h, w, panels, packed.data());
  const std::int64_t row = s.width * s.in_channels;
  correlate<kernels::Matmul<float>, float, float>(kernel(),
                                                  {.in = dy,
                                                   .batch = s.batch,
                                                   .height = s.out_height(),
                                                   .width = s.out_width(),
                                                   .channels = s.out_channels,
                                                   .out = dx + h.first_pixel * row + w.first_pixel * s.in_channels,
                                                   .rows = h.pixels,
                                                   .columns = w.pixels,
                                                   .out_image = s.height * row,
                                                   .out_row = s.stride_h * row,
                                                   .out_pixel = s.stride_w * s.in_channels,
                                                   .taps_h = h.taps,
                                                   .taps_w = w.taps,
                                                   .stride_h = 1,
                                                   .stride_w = 1,
                                                   .origin_h = h.origin,
                                                   .origin_w = w.origin,
                                                   .panels = packed.data(),
                                                   .panel_row = panels.width,
                                                   .step_channels = 1,
                                                   .scale = nullptr,
                                                   .bias = nullptr},
                                                  panels);
}

}  // namespace

bool covers(const ConvShape& s) {
  return kernel().lanes > 0 && s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

void forward(const ConvShape& s, Elements<float> x, const float* weight, const float* bias, float* y) {
  const Panels panels(kernel(), s.out_channels);
  const std::int64_t depth = s.kernel_h * s.kernel_w * s.in_channels;
  const Scratch<float> packed(static_cast<std::size_t>(panels.count * panels.width * depth));
  pack_panels(panels, panels.width * depth, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width;
    kernel().transpose(panels.columns(panel), depth, weight + first * depth, depth, packed.data() + first * depth,
                       panels.width);
  });
  auto c = forward_pass<float, float>(s, x, s.in_channels, y);
  c.panels = packed.data();
  c.panel_row = panels.width;
  c.bias = bias;
  correlate(kernel(), c, panels);
}

void backward_data(const ConvShape& s, const float* dy, const float* weight, float* dx) {
  for (std::int64_t residue_h = 0; residue_h < s.stride_h; ++residue_h)
    for (std::int64_t residue_w = 0; residue_w < s.stride_w; ++residue_w)
      backward_data_of(s, dy, weight, dx, residue_h, residue_w);
}

}  // namespace coarsegrad::direct
