#include "core/compute/conv_codes.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/compute/bit_conv.h"
#include "core/compute/bit_planes.h"
#include "core/compute/channel_scales.h"
#include "core/compute/code_rows.h"
#include "core/compute/conv_correlate.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using code_rows::whole_steps, code_rows::WholeRows, kernels::kCodesPerStep;

// to(pixel, tap, channel) = what the filters of a group meet at each output pixel of one image; rows of `depth` codes.
template <class In>
void gather_columns(const ConvShape& s, const In* image, std::int64_t depth, In* to) {
  const std::int64_t channels = s.in_channels / s.groups;
  std::fill_n(to, s.out_height() * s.out_width() * depth, In{0});
  for (std::int64_t oy = 0; oy < s.out_height(); ++oy)
    for (std::int64_t ox = 0; ox < s.out_width(); ++ox, to += depth)
      for (std::int64_t tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
        const std::int64_t iy = oy * s.stride_h - s.pad_h + tap / s.kernel_w * s.dilation_h;
        const std::int64_t ix = ox * s.stride_w - s.pad_w + tap % s.kernel_w * s.dilation_w;
        if (iy >= 0 && iy < s.height && ix >= 0 && ix < s.width)
          std::copy_n(image + (iy * s.width + ix) * s.in_channels, channels, to + tap * channels);
      }
}

// Rows of A times one panel of filters, all of them `depth` codes long, in pieces whose sums fit into 32 bits and whose
// panel stays in the second-level cache.
template <class In>
struct LongProduct {
  const kernels::CodeProduct<In>& kernel;
  const direct::Panels& panels;
  const std::int8_t* packed;
  std::int64_t depth;
  const In* a;
  std::int64_t* c;

  static constexpr std::int64_t kPiece = 8192;
  static_assert(kPiece <= kernels::kMaxDepthOf<In>);

  // Sums of the rows [first, end) and the filters of a panel.
  void run(std::int64_t panel, std::int64_t first, std::int64_t end) const {
    const std::int64_t most = kernel.max_rows[panels.vectors];
    const Scratch<std::int32_t> sums(static_cast<std::size_t>(most * panels.width));
    for (std::int64_t row = first; row < end; ++row)
      std::fill_n(c + row * panels.channels + panel * panels.width, panels.columns(panel), std::int64_t{0});
    for (std::int64_t begin = 0; begin < depth; begin += kPiece)
      for (std::int64_t row = first; row < end; row += most)
        add(panel, row, static_cast<int>(std::min(most, end - row)), begin, sums.data());
  }

 private:
  void add(std::int64_t panel, std::int64_t row, int rows, std::int64_t begin, std::int32_t* sums) const {
    const std::int64_t step = kCodesPerStep * panels.width;
    const int columns = panels.columns(panel);
    kernel.tile({.a = a + row * depth + begin,
                 .a_row = depth,
                 .b = packed + panel * panels.width * depth + begin * panels.width,
                 .steps = {1, 1, std::min(kPiece, depth - begin) / kCodesPerStep},
                 .a_step = {0, 0, kCodesPerStep},
                 .b_step = {0, 0, step},
                 .c = nullptr,
                 .c_row = panels.width,
                 .rows = rows,
                 .columns = columns,
                 .sums = sums});
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j)
        c[(row + i) * panels.channels + panel * panels.width + j] += sums[i * panels.width + j];
  }
};

// All m rows of A and all panels.
template <class In>
void multiply_long(const LongProduct<In>& product, std::int64_t m) {
  const direct::Panels& panels = product.panels;
  const std::int64_t most = product.kernel.max_rows[panels.vectors];
  const std::int64_t of_tile = std::max(most * panels.width * product.depth, std::int64_t{1});
  const std::int64_t rows = std::max(direct::kProductsPerTask / of_tile, std::int64_t{1}) * most;
  const std::int64_t parts = (m + rows - 1) / rows;
  parallel_for(panels.count * parts, [&](std::int64_t task) {
    const std::int64_t first = task % parts * rows;
    product.run(task / parts, first, std::min(first + rows, m));
  });
}

}  // namespace

/// One forward pass.
class CodeConvolution {
 public:
  // To sums.
  CodeConvolution(const char* op, const ConvShape& s, const ByteWeights& w, std::int32_t* sums)
      : s_(s), w_(w), scale_(0), bias_(nullptr), y_(nullptr), sums_(sums), scaled_(false) {
    w.validate(op, s);
  }
  // Scaled.
  CodeConvolution(const char* op, const ConvShape& s, const ByteWeights& w, std::span<const float> scale,
                  const float* bias, ElementSink<float> y)
      : s_(s),
        w_(w),
        scale_(scales_of_channels(op, s.out_channels, scale)),
        bias_(bias),
        y_(y),
        sums_(nullptr),
        scaled_(true) {
    w.validate(op, s);
  }

  template <class In>
  void run(const In* x) const {
    if (w_.direct_)
      direct_pass(x);
    else
      for (std::int64_t g = 0; g < s_.groups; ++g) column_pass(x, g);
  }

  // f(first pixel, pixels, their sums) for all of them, a few rows or images at a time, whose sums stay in the
  // second-level cache. For what is constructed without outputs.
  template <class In, class F>
  void for_each_sums(const In* x, F&& f) const {
    if (w_.direct_)
      for_each_band(x, f);
    else
      for_each_image(x, f);
  }

  // c = a b^T for rows of A and weights of a dense shape.
  template <class In>
  static void multiply(const ByteWeights& w, std::int64_t m, const In* a, std::int64_t* c) {
    const kernels::CodeProduct<In>& kernel = w.product<In>();
    const direct::Panels panels(kernel, w.out_channels_);
    const WholeRows<In> rows(m, w.in_channels_, a);
    multiply_long(LongProduct<In>{kernel, panels, w.packed_.data(), w.depth_, rows.data(), c}, m);
  }

 private:
  std::int64_t outputs() const { return s_.out_channels / s_.groups; }
  // Outputs begin with number `first`.
  template <class In>
  void finish(direct::Correlation<In, std::int8_t>& c, std::int64_t group, std::int64_t first) const {
    c.out = y_;
    c.out_first = first;
    c.sums = sums_ ? sums_ + first : nullptr;
    c.panels = w_.packed_.data() + group * w_.panels_ * w_.width_ * w_.depth_;
    c.panel_row = w_.width_;
    c.step_channels = kCodesPerStep;
    c.scale = scaled_ ? scale_.data() + group * outputs() : nullptr;
    c.bias = bias_ ? bias_ + group * outputs() : nullptr;
  }

  // No groups, no dilation: images are read as they lie.
  template <class In>
  void direct_pass(const In* x) const {
    const kernels::CodeProduct<In>& kernel = w_.product<In>();
    const WholeRows<In> images(s_.batch * s_.height * s_.width, s_.in_channels, x);
    auto c = direct::forward_pass<In, std::int8_t>(s_, images.data(), whole_steps(s_.in_channels), nullptr);
    finish(c, 0, 0);
    direct::correlate(kernel, c, direct::Panels(kernel, s_.out_channels));
  }

  // Any shape: a product with the column matrix of one image at a time.
  template <class In>
  void column_pass(const In* x, std::int64_t group) const {
    const std::int64_t pixels = s_.out_height() * s_.out_width(), image = s_.height * s_.width * s_.in_channels;
    parallel_for(s_.batch, [&](std::int64_t n) {
      const Scratch<In> columns(static_cast<std::size_t>(pixels * w_.depth_));
      gather_columns(s_, x + n * image + group * (s_.in_channels / s_.groups), w_.depth_, columns.data());
      const std::int64_t first = n * pixels * s_.out_channels + group * outputs();
      if (w_.depth_ > kernels::kMaxDepthOf<In>)
        long_sums(columns.data(), group, first);
      else
        short_sums(columns.data(), group, first);
    });
  }

  static constexpr std::int64_t kTaskBytes = std::int64_t{128} << 10;

  // Rows of outputs, and images, of a task: several images where they are small, at least two tasks.
  template <class In, class F>
  void for_each_band(const In* x, F&& f) const {
    const std::int64_t height = s_.out_height(), row = s_.out_width() * s_.out_channels;
    const std::int64_t fit = std::max(
        kTaskBytes / std::max(row * static_cast<std::int64_t>(sizeof(std::int32_t)), std::int64_t{1}), std::int64_t{1});
    const std::int64_t least = s_.batch == 1 ? (height + 1) / 2 : height;
    const std::int64_t rows = std::max(std::min(fit, least), std::int64_t{1});
    const std::int64_t bands = (height + rows - 1) / rows;
    const std::int64_t together =
        bands > 1 ? 1 : std::clamp(fit / rows, std::int64_t{1}, std::max(s_.batch / 2, std::int64_t{1}));
    const WholeRows<In> images(s_.batch * s_.height * s_.width, s_.in_channels, x);
    parallel_for((s_.batch + together - 1) / together * bands, [&](std::int64_t task) {
      const std::int64_t image = task / bands * together, first = task % bands * rows;
      ConvShape part = s_;
      part.batch = std::min(together, s_.batch - image);
      const std::int64_t n = std::min(rows, height - first), pixels = part.batch * n * s_.out_width();
      const Scratch<std::int32_t> sums(static_cast<std::size_t>(pixels * s_.out_channels));
      band(part, images.data() + image * s_.height * s_.width * whole_steps(s_.in_channels), first, n, sums.data());
      f((image * height + first) * s_.out_width(), pixels, sums.data());
    });
  }

  // The sums of n rows of outputs of some images.
  template <class In>
  void band(const ConvShape& part, const In* images, std::int64_t first, std::int64_t n, std::int32_t* sums) const {
    const kernels::CodeProduct<In>& kernel = w_.product<In>();
    auto c = direct::forward_pass<In, std::int8_t>(part, images, whole_steps(s_.in_channels), nullptr);
    finish(c, 0, 0);
    c.rows = n;
    c.origin_h += first * s_.stride_h;
    c.out_image = n * c.out_row;
    c.sums = sums;
    direct::correlate(kernel, c, direct::Panels(kernel, s_.out_channels));
  }

  template <class In, class F>
  void for_each_image(const In* x, F&& f) const {
    const std::int64_t pixels = s_.out_height() * s_.out_width();
    const Scratch<std::int32_t> sums(static_cast<std::size_t>(s_.batch * pixels * s_.out_channels));
    CodeConvolution("conv2d_sums_of_codes", s_, w_, sums.data()).run(x);
    parallel_for(s_.batch, [&](std::int64_t n) { f(n * pixels, pixels, sums.data() + n * pixels * s_.out_channels); });
  }

  template <class In>
  void short_sums(const In* columns, std::int64_t group, std::int64_t first) const {
    const kernels::CodeProduct<In>& kernel = w_.product<In>();
    const std::int64_t pixels = s_.out_height() * s_.out_width();
    ConvShape row = bit_linear_shape(1, w_.depth_, s_.out_channels);
    row.width = pixels;
    auto c = direct::forward_pass<In, std::int8_t>(row, columns, w_.depth_, nullptr);
    finish(c, group, first);
    direct::correlate(kernel, c, direct::Panels(kernel, outputs()));
  }

  template <class In>
  void long_sums(const In* columns, std::int64_t group, std::int64_t first) const {
    const kernels::CodeProduct<In>& kernel = w_.product<In>();
    const direct::Panels panels(kernel, outputs());
    const std::int64_t pixels = s_.out_height() * s_.out_width();
    const Scratch<std::int64_t> sums(static_cast<std::size_t>(pixels * outputs()));
    const std::int8_t* const packed = w_.packed_.data() + group * w_.panels_ * w_.width_ * w_.depth_;
    multiply_long(LongProduct<In>{kernel, panels, packed, w_.depth_, columns, sums.data()}, pixels);
    for (std::int64_t i = 0; i < pixels; ++i) {
      const std::int64_t place = first + i * s_.out_channels;
      const SinkWindow<float> y(y_, place, place + outputs());
      for (std::int64_t o = 0; o < outputs(); ++o) {
        const std::int64_t channel = group * outputs() + o;
        y.data()[o] = std::fma(scale_.data()[channel], static_cast<float>(sums.data()[i * outputs() + o]),
                               bias_ ? bias_[channel] : 0.f);
      }
    }
  }

  const ConvShape& s_;
  const ByteWeights& w_;
  const Scratch<float> scale_;
  const float* bias_;
  ElementSink<float> y_;
  std::int32_t* sums_;
  bool scaled_;
};

template <class In>
void conv2d_forward_codes(const ConvShape& s, const In* x, const ByteWeights& weight, std::span<const float> scale,
                          const float* bias, ElementSink<float> y) {
  CodeConvolution("conv2d_forward_codes", s, weight, scale, bias, y).run(x);
}

template <class In>
void conv2d_forward_codes(const ConvShape& s, const In* x, const std::int8_t* weight, std::span<const float> scale,
                          const float* bias, ElementSink<float> y) {
  s.validate("conv2d_forward_codes");
  conv2d_forward_codes(s, x, ByteWeights(s, weight), scale, bias, y);
}

namespace {

template <class In>
void check_depth(const char* op, const ConvShape& s) {
  const std::int64_t depth = s.kernel_h * s.kernel_w * (s.in_channels / s.groups);
  check(depth <= kernels::kMaxDepthOf<In>, op, ": given ", depth, " products per output, expected at most ",
        kernels::kMaxDepthOf<In>, ", whose sum fits into 32 bits");
}

// f(pixel, its sums) for all outputs, which `t` has thresholds for.
template <class In, class F>
void for_each_pixel(const char* op, const ConvShape& s, const In* x, const ByteWeights& weight, const BitThresholds& t,
                    F&& f) {
  const CodeConvolution convolution(op, s, weight, nullptr);
  check_depth<In>(op, s);
  check(t.channels() == s.out_channels, op, ": given thresholds for ", t.channels(), " channels, expected ",
        s.out_channels);
  convolution.for_each_sums(x, [&](std::int64_t first, std::int64_t pixels, const std::int32_t* sums) {
    for (std::int64_t p = 0; p < pixels; ++p) f(first + p, sums + p * s.out_channels);
  });
}

}  // namespace

template <class In>
void conv2d_sums_of_codes(const ConvShape& s, const In* x, const ByteWeights& weight, std::int32_t* y) {
  const CodeConvolution convolution("conv2d_sums_of_codes", s, weight, y);
  check_depth<In>("conv2d_sums_of_codes", s);
  convolution.run(x);
}

template <class In>
void conv2d_levels_of_codes(const ConvShape& s, const In* x, const ByteWeights& weight, const BitThresholds& t,
                            std::uint8_t* levels) {
  for_each_pixel("conv2d_levels_of_codes", s, x, weight, t, [&](std::int64_t pixel, const std::int32_t* sums) {
    t.levels_of(0, s.out_channels, sums, levels + pixel * s.out_channels);
  });
}

template <class In>
void conv2d_planes_of_codes(const ConvShape& s, const In* x, const ByteWeights& weight, const BitThresholds& t,
                            std::uint64_t* planes) {
  const std::int64_t row = plane_words(s.out_channels);
  for_each_pixel("conv2d_planes_of_codes", s, x, weight, t, [&](std::int64_t pixel, const std::int32_t* sums) {
    t.planes_of(0, s.out_channels, sums, planes + pixel * t.bits() * row, row);
  });
}

template <class In>
void linear_forward_codes(std::int64_t batch, std::int64_t in, std::int64_t out, const In* x, const std::int8_t* weight,
                          std::span<const float> scale, const float* bias, ElementSink<float> y) {
  conv2d_forward_codes(bit_linear_shape(batch, in, out), x, weight, scale, bias, y);
}

template <class In>
void multiply_codes(std::int64_t m, std::int64_t n, std::int64_t k, const In* a, const std::int8_t* b,
                    std::int64_t* c) {
  check(m >= 0 && n >= 0 && k >= 0, "multiply_codes: given ", m, " x ", n, " sums of ", k,
        " products, expected 0 or more");
  CodeConvolution::multiply(ByteWeights(bit_linear_shape(m, k, n), b), m, a, c);
}

template void conv2d_forward_codes(const ConvShape&, const std::uint8_t*, const ByteWeights&, std::span<const float>,
                                   const float*, ElementSink<float>);
template void conv2d_forward_codes(const ConvShape&, const std::uint8_t*, const std::int8_t*, std::span<const float>,
                                   const float*, ElementSink<float>);
template void conv2d_sums_of_codes(const ConvShape&, const std::uint8_t*, const ByteWeights&, std::int32_t*);
template void conv2d_levels_of_codes(const ConvShape&, const std::uint8_t*, const ByteWeights&, const BitThresholds&,
                                     std::uint8_t*);
template void conv2d_planes_of_codes(const ConvShape&, const std::uint8_t*, const ByteWeights&, const BitThresholds&,
                                     std::uint64_t*);
template void linear_forward_codes(std::int64_t, std::int64_t, std::int64_t, const std::uint8_t*, const std::int8_t*,
                                   std::span<const float>, const float*, ElementSink<float>);
template void multiply_codes(std::int64_t, std::int64_t, std::int64_t, const std::uint8_t*, const std::int8_t*,
                             std::int64_t*);
template void conv2d_forward_codes(const ConvShape&, const std::int8_t*, const ByteWeights&, std::span<const float>,
                                   const float*, ElementSink<float>);
template void conv2d_forward_codes(const ConvShape&, const std::int8_t*, const std::int8_t*, std::span<const float>,
                                   const float*, ElementSink<float>);
template void conv2d_sums_of_codes(const ConvShape&, const std::int8_t*, const ByteWeights&, std::int32_t*);
template void conv2d_levels_of_codes(const ConvShape&, const std::int8_t*, const ByteWeights&, const BitThresholds&,
                                     std::uint8_t*);
template void conv2d_planes_of_codes(const ConvShape&, const std::int8_t*, const ByteWeights&, const BitThresholds&,
                                     std::uint64_t*);
template void linear_forward_codes(std::int64_t, std::int64_t, std::int64_t, const std::int8_t*, const std::int8_t*,
                                   std::span<const float>, const float*, ElementSink<float>);
template void multiply_codes(std::int64_t, std::int64_t, std::int64_t, const std::int8_t*, const std::int8_t*,
                             std::int64_t*);

}  // namespace coarsegrad
