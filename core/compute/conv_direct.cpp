// Forward and backward data. Both are correlations: the gradient with respect to x is the correlation of dy
// with the kernel turned round, one for each residue of the pixel's position modulo the stride.
#include "core/compute/conv_direct.h"

#include "core/base/memory.h"
#include "core/compute/conv_correlate.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::direct {
namespace {

const kernels::Matmul<float>& kernel() { return real_kernels<float>().matmul; }

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

void backward_data_of(const ConvShape& s, Elements<float> dy, const float* weight, ElementSink<float> dx,
                      std::int64_t residue_h, std::int64_t residue_w) {
  const Residue h(residue_h, s.height, s.kernel_h, s.stride_h, s.pad_h);
  const Residue w(residue_w, s.width, s.kernel_w, s.stride_w, s.pad_w);
  const Panels panels(kernel(), s.in_channels);
  const Scratch<float> packed(static_cast<std::size_t>(panels.count * panels.width * h.taps * w.taps * s.out_channels));
  pack_turned(s, weight, residue_h, residue_w, h, w, panels, packed.data());
  auto c = backward_pass<float, float>(s, h, w, dy, s.out_channels);
  write_residues(s, h, w, dx, c);
  c.panels = packed.data();
  c.panel_row = panels.width;
  correlate(kernel(), c, panels);
}

}  // namespace

bool covers(const ConvShape& s) {
  return kernel().lanes > 0 && s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

Scratch<float> packed(const ConvShape& s, const float* weight) {
  const Panels panels(kernel(), s.out_channels);
  const std::int64_t depth = s.kernel_h * s.kernel_w * s.in_channels;
  Scratch<float> to(static_cast<std::size_t>(panels.count * panels.width * depth));
  pack_panels(panels, panels.width * depth, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width;
    kernel().transpose(panels.columns(panel), depth, weight + first * depth, depth, to.data() + first * depth,
                       panels.width);
  });
  return to;
}

void forward(const ConvShape& s, Elements<float> x, const float* packed_weight, const float* bias,
             ElementSink<float> y) {
  const Panels panels(kernel(), s.out_channels);
  auto c = forward_pass<float, float>(s, x, s.in_channels, y);
  c.panels = packed_weight;
  c.panel_row = panels.width;
  c.bias = bias;
  correlate(kernel(), c, panels);
}

void backward_data(const ConvShape& s, Elements<float> dy, const float* weight, ElementSink<float> dx) {
  for (std::int64_t residue_h = 0; residue_h < s.stride_h; ++residue_h)
    for (std::int64_t residue_w = 0; residue_w < s.stride_w; ++residue_w)
      backward_data_of(s, dy, weight, dx, residue_h, residue_w);
}

}  // namespace coarsegrad::direct
