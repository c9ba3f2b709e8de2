// Forward and backward data, as in conv_direct.cpp: both are correlations.
#include "core/compute/conv_bfloat16.h"

#include "core/compute/conv_bfloat16_pixels.h"
#include "core/compute/conv_correlate.h"
#include "core/compute/precision.h"

namespace coarsegrad {

Elements<float> Bfloat16Factor::rounded_floats() const { return kept_ ? widened(kept_) : rounded_elements(floats_); }

void Bfloat16Factor::read(std::int64_t begin, std::int64_t end, Bfloat16* to) const {
  if (kept_) {
    std::copy(kept_ + begin, kept_ + end, to);
    return;
  }
  const ElementWindow<float> some(floats_, begin, end);
  active_kernels().precision.round(end - begin, some.data(), to);
}

namespace bfloat16 {
namespace {

Scratch<Bfloat16> rounded(std::int64_t n, const float* x) {
  Scratch<Bfloat16> y(static_cast<std::size_t>(n));
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    active_kernels().precision.round(end - begin, x + begin, y.data() + begin);
  });
  return y;
}

void forward(const ConvShape& s, const Bfloat16Factor& x, const float* weight, const float* bias,
             const ElementSink<float>& y) {
  const direct::Panels panels(kernel(), s.out_channels);
  const std::int64_t taps = s.kernel_h * s.kernel_w, channels = whole_steps(s.in_channels), depth = taps * channels;
  const Scratch<Bfloat16> packed(static_cast<std::size_t>(panels.count * panels.width * depth));
  direct::pack_panels(panels, panels.width * depth, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width, filters = panels.columns(panel);
    const Elements<float> floats(weight + first * taps * s.in_channels);
    const Bfloat16Factor factor(floats);
    const Pixels pixels(factor, s.in_channels);
    const ElementWindow<Bfloat16> rows(pixels.elements(), 0, filters * depth);
    pack_rows(filters, panels.width, depth / kernels::kBfloat16PerStep, rows.data(), packed.data() + first * depth);
  });
  const Pixels pixels(x, s.in_channels);
  auto c = direct::forward_pass<Bfloat16, Bfloat16>(s, pixels.elements(), channels, y);
  c.panels = packed.data();
  c.panel_row = panels.width;
  c.step_channels = kernels::kBfloat16PerStep;
  c.bias = bias;
  direct::correlate(kernel(), c, panels);
}

// Panels of the kernel turned round: [tap row][tap column][output channel] x input channels, taps from last to first.
void pack_turned(const ConvShape& s, const Bfloat16* weight, std::int64_t residue_h, std::int64_t residue_w,
                 const Residue& h, const Residue& w, const direct::Panels& panels, Bfloat16* to) {
  const std::int64_t kernel_row = s.kernel_w * s.in_channels, filter = s.kernel_h * kernel_row;
  const std::int64_t depth = h.taps * w.taps * whole_steps(s.out_channels);
  direct::pack_panels(panels, panels.width * depth, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width, n = panels.columns(panel), step = 2 * panels.width;
    Bfloat16* out = to + first * depth;
    for (std::int64_t ty = h.taps - 1; ty >= 0; --ty)
      for (std::int64_t tx = w.taps - 1; tx >= 0; --tx) {
        const Bfloat16* tap =
            weight + (residue_h + ty * s.stride_h) * kernel_row + (residue_w + tx * s.stride_w) * s.in_channels + first;
        for (std::int64_t o = 0; o < s.out_channels; o += 2, out += step) {
          in_turn(n, tap + o * filter, o + 1 < s.out_channels ? tap + (o + 1) * filter : nullptr, out);
          std::fill(out + 2 * n, out + step, Bfloat16{});
        }
      }
  });
}

void backward_data_of(const ConvShape& s, const Elements<Bfloat16>& dy, const Bfloat16* weight,
                      const ElementSink<float>& dx, std::int64_t residue_h, std::int64_t residue_w) {
  const Residue h(residue_h, s.height, s.kernel_h, s.stride_h, s.pad_h);
  const Residue w(residue_w, s.width, s.kernel_w, s.stride_w, s.pad_w);
  const direct::Panels panels(kernel(), s.in_channels);
  const std::int64_t channels = whole_steps(s.out_channels);
  const Scratch<Bfloat16> packed(static_cast<std::size_t>(panels.count * panels.width * h.taps * w.taps * channels));
  pack_turned(s, weight, residue_h, residue_w, h, w, panels, packed.data());
  auto c = direct::backward_pass<Bfloat16, Bfloat16>(s, h, w, dy, channels);
  direct::write_residues(s, h, w, dx, c);
  c.panels = packed.data();
  c.panel_row = panels.width;
  c.step_channels = kernels::kBfloat16PerStep;
  direct::correlate(kernel(), c, panels);
}

void backward_data(const ConvShape& s, const Bfloat16Factor& dy, const float* weight, const ElementSink<float>& dx) {
  const Scratch<Bfloat16> rounded_weight = rounded(s.out_channels * s.kernel_h * s.kernel_w * s.in_channels, weight);
  const Pixels pixels(dy, s.out_channels);
  for (std::int64_t residue_h = 0; residue_h < s.stride_h; ++residue_h)
    for (std::int64_t residue_w = 0; residue_w < s.stride_w; ++residue_w)
      backward_data_of(s, pixels.elements(), rounded_weight.data(), dx, residue_h, residue_w);
}

}  // namespace
}  // namespace bfloat16

namespace {

Scratch<float> rounded_weight(const ConvShape& s, const float* weight) {
  const std::int64_t n = s.out_channels * s.kernel_h * s.kernel_w * (s.in_channels / s.groups);
  Scratch<float> rounded(static_cast<std::size_t>(n));
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    active_kernels().precision.round_values(end - begin, weight + begin, rounded.data() + begin);
  });
  return rounded;
}

}  // namespace

void conv2d_forward_bfloat16(const ConvShape& s, const Bfloat16Factor& x, const float* weight, const float* bias,
                             ElementSink<float> y) {
  s.validate("conv2d_forward_bfloat16");
  if (bfloat16::covers(s)) return bfloat16::forward(s, x, weight, bias, y);
  conv2d_forward<float>(s, x.rounded_floats(), rounded_weight(s, weight).data(), bias, y);
}

void conv2d_backward_data_bfloat16(const ConvShape& s, const Bfloat16Factor& dy, const float* weight,
                                   ElementSink<float> dx) {
  s.validate("conv2d_backward_data_bfloat16");
  if (bfloat16::covers(s)) return bfloat16::backward_data(s, dy, weight, dx);
  conv2d_backward_data<float>(s, dy.rounded_floats(), rounded_weight(s, weight).data(), dx);
}

void conv2d_backward_weight_bfloat16(const ConvShape& s, const Bfloat16Factor& x, const Bfloat16Factor& dy,
                                     float* dweight) {
  s.validate("conv2d_backward_weight_bfloat16");
  if (bfloat16::covers(s)) return bfloat16::backward_weight(s, x, dy, dweight);
  conv2d_backward_weight<float>(s, x.rounded_floats(), dy.rounded_floats(), dweight);
}

}  // namespace coarsegrad
