// The gradient with respect to x on codes: as in conv_direct.cpp a correlation of dy with the kernel turned round, one
// for each residue of the pixel's position modulo the stride. Codes of dy are the unsigned factors of the products,
// those of the weight the signed ones:
//   I = sum of (k - zero_g) (b - zero_w) = sum of k b - zero_w (sum of k) - zero_g W,
// where the first sum is the kernels', the second one depends on the pixel alone, and W on the channel and on the taps
// that the pixel meets. All is computed modulo 2^32, where I fits.
#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/code_rows.h"
#include "core/compute/conv_codes_backward.h"
#include "core/compute/conv_correlate.h"
#include "core/compute/side_by_side.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using code_rows::whole_steps, code_rows::WholeRows, kernels::kCodesPerStep;
using Product = kernels::CodeProduct<std::uint8_t>;

const Product& product() { return active_kernels().matmul_codes.by_unsigned; }

// A weight as signed bytes.
struct SignedWeight {
  const std::uint8_t* codes;
  std::uint8_t flip;  // makes a byte the signed one
  std::int32_t zero;  // the signed code of the level 0
  double step;

  explicit SignedWeight(const LeveledCodes& w)
      : codes(w.codes),
        flip(w.is_signed ? std::uint8_t{0} : kSignBit),
        zero(w.levels[0].zero - (w.is_signed ? 0 : kSignBit)),
        step(w.levels[0].step) {}
};

// The kernel turned round for the pixels of two residues, taps from last to first.
class TurnedKernel {
 public:
  TurnedKernel(const ConvShape& s, const SignedWeight& w, std::int64_t residue_h, std::int64_t residue_w)
      : s_(s),
        h_(residue_h, s.height, s.kernel_h, s.stride_h, s.pad_h),
        w_(residue_w, s.width, s.kernel_w, s.stride_w, s.pad_w),
        residue_h_(residue_h),
        residue_w_(residue_w),
        panels_(product(), s.in_channels),
        packed_(static_cast<std::size_t>(panels_.count * panels_.width * depth())),
        sums_(static_cast<std::size_t>(h_.taps * w_.taps * s.in_channels)) {
    direct::pack_panels(panels_, panels_.width * depth(), [&](std::int64_t panel) {
      pack(w, panel);
      sum(w, panel);
    });
  }

  const Residue& h() const { return h_; }
  const Residue& w() const { return w_; }
  const direct::Panels& panels() const { return panels_; }
  const std::int8_t* packed() const { return packed_.data(); }
  /// to[c] = the sum of the weights of channel c, in steps, over the taps of a rectangle.
  void sum_taps(const Band& y, const Band& x, std::int32_t* to) const {
    std::fill_n(to, s_.in_channels, 0);
    for (std::int64_t ty = y.first_tap; ty < y.last_tap; ++ty)
      for (std::int64_t tx = x.first_tap; tx < x.last_tap; ++tx) {
        const std::int32_t* tap = sums_.data() + (ty * w_.taps + tx) * s_.in_channels;
        for (std::int64_t c = 0; c < s_.in_channels; ++c) to[c] += tap[c];
      }
  }

 private:
  std::int64_t depth() const { return h_.taps * w_.taps * whole_steps(s_.out_channels); }
  std::int64_t filter() const { return s_.kernel_h * s_.kernel_w * s_.in_channels; }
  // Where the weights of the first output lie for tap t of those that are turned round.
  std::int64_t place(std::int64_t t) const {
    const std::int64_t ky = residue_h_ + (h_.taps - 1 - t / w_.taps) * s_.stride_h;
    const std::int64_t kx = residue_w_ + (w_.taps - 1 - t % w_.taps) * s_.stride_w;
    return (ky * s_.kernel_w + kx) * s_.in_channels;
  }

  void pack(const SignedWeight& w, std::int64_t panel) {
    const std::int64_t first = panel * panels_.width, n = panels_.columns(panel);
    auto* to = reinterpret_cast<std::uint8_t*>(packed_.data() + first * depth());
    for (std::int64_t t = 0; t < h_.taps * w_.taps; ++t)
      for (std::int64_t o = 0; o < s_.out_channels; o += kCodesPerStep, to += kCodesPerStep * panels_.width) {
        const std::uint8_t* rows[kCodesPerStep] = {};
        for (std::int64_t k = 0; k < std::min<std::int64_t>(kCodesPerStep, s_.out_channels - o); ++k)
          rows[k] = w.codes + (o + k) * filter() + place(t) + first;
        side_by_side(rows, n, w.flip, to);
        std::fill(to + kCodesPerStep * n, to + kCodesPerStep * panels_.width, std::uint8_t{0});
      }
  }

  void sum(const SignedWeight& w, std::int64_t panel) {
    const std::int64_t first = panel * panels_.width, n = panels_.columns(panel);
    for (std::int64_t t = 0; t < h_.taps * w_.taps; ++t) {
      std::int32_t* to = sums_.data() + t * s_.in_channels + first;
      std::fill_n(to, n, -w.zero * static_cast<std::int32_t>(s_.out_channels));
      for (std::int64_t o = 0; o < s_.out_channels; ++o) {
        const std::uint8_t* from = w.codes + o * filter() + place(t) + first;
        for (std::int64_t c = 0; c < n; ++c) to[c] += static_cast<std::int8_t>(from[c] ^ w.flip);
      }
    }
  }

  const ConvShape& s_;
  Residue h_, w_;
  std::int64_t residue_h_, residue_w_;
  direct::Panels panels_;
  Scratch<std::int8_t> packed_;
  Scratch<std::int32_t> sums_;
};

// dx at the pixels of two residues.
class ResiduePass {
 public:
  ResiduePass(const ConvShape& s, const LeveledCodes& dy, const SignedWeight& weight, const TurnedKernel& kernel,
              ElementSink<float> dx)
      : s_(s),
        dy_(dy),
        weight_(weight),
        kernel_(kernel),
        rows_(bands(kernel.h().pixels, 1, kernel.h().origin, kernel.h().taps, s.out_height())),
        columns_(bands(kernel.w().pixels, 1, kernel.w().origin, kernel.w().taps, s.out_width())),
        dx_(dx) {}

  // `images` are the codes of dy, pixels filled up to whole steps. A task takes images whose sums stay in the
  // second-level cache until they are scaled.
  void run(const std::uint8_t* images) const {
    constexpr std::int64_t kSumBytes = std::int64_t{256} << 10, kTasks = 8;
    const std::int64_t size = pixels() * s_.in_channels, bytes = size * static_cast<std::int64_t>(sizeof(std::int32_t));
    const std::int64_t products = size * kernel_.h().taps * kernel_.w().taps * s_.out_channels;
    const std::int64_t chunk =
        std::max({std::min(kSumBytes / std::max(bytes, std::int64_t{1}), s_.batch / kTasks),
                  direct::kProductsPerTask / std::max(products, std::int64_t{1}), std::int64_t{1}});
    parallel_ranges(s_.batch, chunk, [&](std::int64_t begin, std::int64_t end) {
      const Scratch<std::int32_t> sums(static_cast<std::size_t>((end - begin) * size));
      correlate(images, begin, end, sums.data());
      for (std::int64_t n = begin; n < end; ++n) write_image(n, sums.data() + (n - begin) * size);
    });
  }

 private:
  std::int64_t pixels() const { return kernel_.h().pixels * kernel_.w().pixels; }

  void correlate(const std::uint8_t* images, std::int64_t begin, std::int64_t end, std::int32_t* sums) const {
    auto c = direct::backward_pass<std::uint8_t, std::int8_t>(s_, kernel_.h(), kernel_.w(), images,
                                                              whole_steps(s_.out_channels));
    c.in = images + begin * c.in_image();
    c.batch = end - begin;
    c.sums = sums;
    c.out_image = pixels() * s_.in_channels;
    c.out_row = kernel_.w().pixels * s_.in_channels;
    c.out_pixel = s_.in_channels;
    c.panels = kernel_.packed();
    c.panel_row = kernel_.panels().width;
    c.step_channels = kCodesPerStep;
    direct::correlate(product(), c, kernel_.panels());
  }

  // What is added to the sums of an image before they are scaled, and afterwards. A null is 0.
  struct Terms {
    const std::int32_t *of_pixel,  // sums of the codes of dy over the channels, one for each output pixel
        *of_channel;               // -zero_g W
    const float* rest;             // rest_g step_w W
    float scale;
  };

  void sum_channels(std::int64_t n, std::int64_t outputs, std::int32_t* sums) const {
    const std::uint8_t* from = dy_.codes + n * outputs * s_.out_channels;
    for (std::int64_t pixel = 0; pixel < outputs; ++pixel, from += s_.out_channels) {
      std::int32_t sum = 0;
      for (std::int64_t o = 0; o < s_.out_channels; ++o) sum += from[o];
      sums[pixel] = sum;
    }
  }

  void write_image(std::int64_t n, const std::int32_t* sums) const {
    const Levels& g = dy_.levels[dy_.levels.size() == 1 ? 0 : static_cast<std::size_t>(n)];
    const std::int64_t outputs = weight_.zero == 0 ? 0 : s_.out_height() * s_.out_width();
    const Scratch<std::int32_t> of_pixel(static_cast<std::size_t>(outputs)),
        of_channel(static_cast<std::size_t>(s_.in_channels));
    const Scratch<float> rest(static_cast<std::size_t>(s_.in_channels));
    sum_channels(n, outputs, of_pixel.data());
    const auto rest_step = static_cast<float>(g.rest * weight_.step);
    const Terms terms{of_pixel.data(), of_channel.data(), rest.data(), static_cast<float>(g.step * weight_.step)};
    for (const Band& y : rows_)
      for (const Band& x : columns_) {
        kernel_.sum_taps(y, x, of_channel.data());
        for (std::int64_t c = 0; c < s_.in_channels; ++c) {
          rest.data()[c] = rest_step * static_cast<float>(of_channel.data()[c]);
          of_channel.data()[c] *= -g.zero;
        }
        write_rectangle(n, y, x, terms, sums);
      }
  }

  void write_rectangle(std::int64_t n, const Band& y, const Band& x, const Terms& terms,
                       const std::int32_t* sums) const {
    const std::int64_t channels = s_.in_channels, row = s_.width * channels;
    for (std::int64_t i = y.begin; i < y.end; ++i)
      for (std::int64_t j = x.begin; j < x.end; ++j) {
        const std::int64_t pixel = n * s_.height * row + (kernel_.h().first_pixel + i * s_.stride_h) * row +
                                   (kernel_.w().first_pixel + j * s_.stride_w) * channels;
        const SinkWindow<float> to(dx_, pixel, pixel + channels);
        write_pixel(terms, terms.of_pixel ? pixel_term(terms.of_pixel, y, x, i, j) : 0,
                    sums + (i * kernel_.w().pixels + j) * channels, to.data());
      }
  }

  void write_pixel(const Terms& terms, std::uint32_t start, const std::int32_t* sums, float* to) const {
    const std::int32_t* const offset = terms.of_channel;
    const float* const rest = terms.rest;
    const float scale = terms.scale;
    for (std::int64_t c = 0; c < s_.in_channels; ++c) {
      const std::uint32_t sum = static_cast<std::uint32_t>(sums[c]) + start + static_cast<std::uint32_t>(offset[c]);
      to[c] = scale * static_cast<float>(static_cast<std::int32_t>(sum)) + rest[c];
    }
  }

  // -zero_w times the sum of the codes of dy that a pixel meets.
  std::uint32_t pixel_term(const std::int32_t* of_pixel, const Band& y, const Band& x, std::int64_t i,
                           std::int64_t j) const {
    std::int32_t sum = 0;
    for (std::int64_t ty = y.first_tap; ty < y.last_tap; ++ty) {
      const std::int32_t* from = of_pixel + (i + kernel_.h().origin + ty) * s_.out_width();
      for (std::int64_t tx = x.first_tap; tx < x.last_tap; ++tx) sum += from[j + kernel_.w().origin + tx];
    }
    return static_cast<std::uint32_t>(-weight_.zero) * static_cast<std::uint32_t>(sum);
  }

  const ConvShape& s_;
  const LeveledCodes& dy_;
  const SignedWeight& weight_;
  const TurnedKernel& kernel_;
  const std::vector<Band> rows_, columns_;
  ElementSink<float> dx_;
};

}  // namespace

bool backward_data_on_codes(const ConvShape& s, const LeveledCodes& dy, const LeveledCodes& weight) {
  constexpr std::int64_t kMostProducts = 33025;  // 255 * 255 * 33025 < 2^31
  static_assert(kMostProducts <= kernels::kMaxCodeDepth);
  const auto grids = static_cast<std::int64_t>(dy.levels.size());
  return s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.kernel_h * s.kernel_w * s.out_channels <= kMostProducts && !dy.is_signed &&
         (grids == 1 || grids == s.batch) && weight.levels.size() == 1 && weight.levels[0].rest == 0;
}

void conv2d_backward_data_codes(const ConvShape& s, const LeveledCodes& dy, const LeveledCodes& weight,
                                ElementSink<float> dx) {
  s.validate("conv2d_backward_data_codes");
  check(
      backward_data_on_codes(s, dy, weight), "conv2d_backward_data_codes: given ", dy.levels.size(),
      " grids of the gradient and ", weight.levels.size(), " of the weight, ", s.groups, " groups, ",
      s.kernel_h * s.kernel_w * s.out_channels,
      " products, expected one grid each, or one for each image, neither groups nor dilation, at most 33025 products");
  const WholeRows<std::uint8_t> images(s.batch * s.out_height() * s.out_width(), s.out_channels, dy.codes);
  const SignedWeight w(weight);
  for (std::int64_t residue_h = 0; residue_h < s.stride_h; ++residue_h)
    for (std::int64_t residue_w = 0; residue_w < s.stride_w; ++residue_w) {
      const TurnedKernel kernel(s, w, residue_h, residue_w);
      ResiduePass(s, dy, w, kernel, dx).run(images.data());
    }
}

}  // namespace coarsegrad
