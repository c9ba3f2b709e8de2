// Forward and backward data. Both are correlations: the gradient with respect to x is the correlation of dy
// with the kernel turned round, one for each residue of the pixel's position modulo the stride.
#include "core/base/conv_direct.h"

#include <array>

#include "core/base/conv_bands.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::direct {
namespace {

using Kernel = kernels::Matmul<float>;
using Tile = kernels::ProductTile<float>;

const Kernel& kernel() { return real_kernels<float>().matmul; }

// Output channels are computed in panels of `width` of them.
struct Panels {
  std::int64_t channels;
  int vectors;
  std::int64_t width, count;

  explicit Panels(std::int64_t n)
      : channels(n),
        vectors(vectors_for(n)),
        width(vectors * kernel().lanes),
        count((n + width - 1) / width) {}
  int columns(std::int64_t panel) const {
    return static_cast<int>(std::min(width, channels - panel * width));
  }

 private:
  // Two vectors are as fast as more of them from six rows on, and allow more rows. Three where they are all.
  static int vectors_for(std::int64_t n) {
    const std::int64_t needed = (n + kernel().lanes - 1) / kernel().lanes;
    return needed <= 1 ? 1 : needed == 3 && kernel().max_rows[3] > 0 ? 3 : 2;
  }
};

/// out(n, y, x, o) = bias(o) + sum over taps (ty, tx) and channels c of
///   in(n, y * stride_h + origin_h + ty, x * stride_w + origin_w + tx, c) * panels(ty, tx, c, o)
/// for the pixels of a grid in `out` that need not be dense. Panel p lies at panels + p * width * taps *
/// channels.
struct Correlation {
  const float* in;
  std::int64_t batch, height, width, channels;
  float* out;
  std::int64_t rows, columns, out_image, out_row, out_pixel;  // extents of the grid, distances in `out`
  std::int64_t taps_h, taps_w, stride_h, stride_w, origin_h, origin_w;
  const float* panels;
  const float* bias;

  std::int64_t depth() const { return taps_h * taps_w * channels; }
  std::int64_t in_row() const { return width * channels; }
  std::int64_t in_image() const { return height * in_row(); }
};

/// One of the three directions (images, rows, columns) in which the pixels of a rectangle are neighbours.
struct Axis {
  std::int64_t count, a_distance, c_distance;
};

// Tile rows cost time in units of half a cycle of the vector units: products, but at least the loads and the
// latency of a chain of additions.
double cost_per_row(std::int64_t pixels, int vectors) {
  const std::int64_t most = kernel().max_rows[vectors], tiles = (pixels + most - 1) / most;
  const double rows = static_cast<double>(pixels) / static_cast<double>(tiles);
  return std::max({rows * vectors, rows + vectors, 8.0}) / rows;
}

// The rows of a tile lie along the axis that fills tiles best; near draws go to the closest neighbours.
int best_axis(const std::array<Axis, 3>& axes, int vectors) {
  int best = 2;
  for (int i = 1; i >= 0; --i)
    if (cost_per_row(axes[static_cast<std::size_t>(i)].count, vectors) <
        0.95 * cost_per_row(axes[static_cast<std::size_t>(best)].count, vectors))
      best = i;
  return best;
}

// Threads are not woken for less than this.
constexpr std::int64_t kElementsPerTask = std::int64_t{1} << 16, kProductsPerTask = std::int64_t{1} << 20;

// Calls pack(panel) for all panels of `elements` elements.
template <class Pack>
void pack_panels(const Panels& panels, std::int64_t elements, Pack&& pack) {
  const std::int64_t parts = std::clamp(panels.count * elements / kElementsPerTask, std::int64_t{1},
                                        std::max(panels.count, std::int64_t{1}));
  parallel_for(parts, [&](std::int64_t part) {
    const Range some = part_of(panels.count, parts, part);
    for (std::int64_t panel = some.begin; panel < some.end; ++panel) pack(panel);
  });
}

// All pixels of a box: `tile` is that of the first one.
void sweep(const std::array<Axis, 3>& axes, int vectors, const Tile& first) {
  const int along = best_axis(axes, vectors);
  const Axis& rows = axes[static_cast<std::size_t>(along)];
  const Axis& outer = axes[along == 0 ? 1 : 0];
  const Axis& inner = axes[along == 2 ? 1 : 2];
  const std::int64_t most = kernel().max_rows[vectors], tiles = (rows.count + most - 1) / most;
  Tile t = first;
  t.a_row = rows.a_distance;
  t.c_row = rows.c_distance;
  for (std::int64_t i = 0; i < outer.count; ++i)
    for (std::int64_t j = 0; j < inner.count; ++j)
      for (std::int64_t k = 0; k < tiles; ++k) {
        const Range part = part_of(rows.count, tiles, k);
        t.a = first.a + i * outer.a_distance + j * inner.a_distance + part.begin * rows.a_distance;
        t.c = first.c + i * outer.c_distance + j * inner.c_distance + part.begin * rows.c_distance;
        t.rows = static_cast<int>(part.end - part.begin);
        kernel().tile(t);
      }
}

void correlate_rectangle(const Correlation& c, const Panels& panels, std::int64_t panel, Range images,
                         const Band& y, const Band& x) {
  const std::array<Axis, 3> axes{{{images.end - images.begin, c.in_image(), c.out_image},
                                  {y.end - y.begin, c.stride_h * c.in_row(), c.out_row},
                                  {x.end - x.begin, c.stride_w * c.channels, c.out_pixel}}};
  const std::int64_t in_y = y.begin * c.stride_h + c.origin_h + y.first_tap;
  const std::int64_t in_x = x.begin * c.stride_w + c.origin_w + x.first_tap;
  const std::int64_t first_tap = y.first_tap * c.taps_w + x.first_tap;
  sweep(axes, panels.vectors,
        {.a = c.in + images.begin * c.in_image() + in_y * c.in_row() + in_x * c.channels,
         .a_row = 0,
         .b = c.panels + panel * panels.width * c.depth() + first_tap * c.channels * panels.width,
         .steps = {1, y.taps(), x.taps() * c.channels},
         .a_step = {0, c.in_row(), 1},
         .b_step = {0, c.taps_w * c.channels * panels.width, panels.width},
         .c = c.out + images.begin * c.out_image + y.begin * c.out_row + x.begin * c.out_pixel +
              panel * panels.width,
         .c_row = 0,
         .rows = 0,
         .columns = panels.columns(panel),
         .bias = c.bias ? c.bias + panel * panels.width : nullptr});
}

// Tasks are groups of panels times groups of images: the weights of one and the images of the other share the
// second-level cache.
void correlate(const Correlation& c, const Panels& panels) {
  constexpr std::int64_t kPanelBytes = std::int64_t{384} << 10, kImageBytes = std::int64_t{512} << 10;
  const auto bytes = [](std::int64_t elements) {
    return elements * static_cast<std::int64_t>(sizeof(float));
  };
  const std::int64_t together =
      std::max(kPanelBytes / std::max(bytes(panels.width * c.depth()), std::int64_t{1}), std::int64_t{1});
  const std::int64_t groups = (panels.count + together - 1) / together;
  const std::int64_t image_bytes = bytes(c.in_image() + c.rows * c.columns * panels.channels / groups);
  const std::int64_t products = c.rows * c.columns * c.depth() * panels.channels / groups;
  const std::int64_t chunk = std::max(
      std::clamp(kImageBytes / std::max(image_bytes, std::int64_t{1}), std::int64_t{1}, std::int64_t{64}),
      kProductsPerTask / std::max(products, std::int64_t{1}));
  const std::int64_t chunks = (c.batch + chunk - 1) / chunk;
  const std::vector<Band> rows = bands(c.rows, c.stride_h, c.origin_h, c.taps_h, c.height);
  const std::vector<Band> columns = bands(c.columns, c.stride_w, c.origin_w, c.taps_w, c.width);
  parallel_for(groups * chunks, [&](std::int64_t task) {
    const Range some = part_of(panels.count, groups, task / chunks),
                images = part_of(c.batch, chunks, task % chunks);
    for (std::int64_t panel = some.begin; panel < some.end; ++panel)
      for (const Band& y : rows)
        for (const Band& x : columns) correlate_rectangle(c, panels, panel, images, y, x);
  });
}

// The kernel positions that meet the pixels i with (i + pad) % stride == residue: residue, residue + stride,
// ...
struct Residue {
  std::int64_t first_pixel, pixels, taps, origin;

  Residue(std::int64_t residue, std::int64_t inputs, std::int64_t kernel_size, std::int64_t stride,
          std::int64_t pad) {
    first_pixel = ((residue - pad) % stride + stride) % stride;
    pixels = first_pixel < inputs ? (inputs - first_pixel + stride - 1) / stride : 0;
    taps = residue < kernel_size ? (kernel_size - residue + stride - 1) / stride : 0;
    origin = (first_pixel + pad - residue) / stride - (taps - 1);  // the last tap comes first: outputs ascend
  }
};

// Panels of the kernel turned round: [tap row][tap column][output channel] x input channels, taps from last
// to first.
void pack_turned(const ConvShape& s, const float* weight, std::int64_t residue_h, std::int64_t residue_w,
                 const Residue& h, const Residue& w, const Panels& panels, float* to) {
  const std::int64_t kernel_row = s.kernel_w * s.in_channels, filter = s.kernel_h * kernel_row;
  pack_panels(panels, panels.width * h.taps * w.taps * s.out_channels, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width, n = panels.columns(panel);
    float* out = to + first * h.taps * w.taps * s.out_channels;
    for (std::int64_t ty = h.taps - 1; ty >= 0; --ty)
      for (std::int64_t tx = w.taps - 1; tx >= 0; --tx) {
        const float* tap = weight + (residue_h + ty * s.stride_h) * kernel_row +
                           (residue_w + tx * s.stride_w) * s.in_channels + first;
        for (std::int64_t o = 0; o < s.out_channels; ++o, out += panels.width)
          std::copy_n(tap + o * filter, n, out);
      }
  });
}

void backward_data_of(const ConvShape& s, const float* dy, const float* weight, float* dx,
                      std::int64_t residue_h, std::int64_t residue_w) {
  const Residue h(residue_h, s.height, s.kernel_h, s.stride_h, s.pad_h);
  const Residue w(residue_w, s.width, s.kernel_w, s.stride_w, s.pad_w);
  const Panels panels(s.in_channels);
  const Scratch<float> packed(
      static_cast<std::size_t>(panels.count * panels.width * h.taps * w.taps * s.out_channels));
  pack_turned(s, weight, residue_h, residue_w, h, w, panels, packed.data());
  const std::int64_t row = s.width * s.in_channels;
  correlate({.in = dy,
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
             .bias = nullptr},
            panels);
}

}  // namespace

bool covers(const ConvShape& s) {
  return kernel().lanes > 0 && s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

void forward(const ConvShape& s, const float* x, const float* weight, const float* bias, float* y) {
  const Panels panels(s.out_channels);
  const std::int64_t depth = s.kernel_h * s.kernel_w * s.in_channels;
  const Scratch<float> packed(static_cast<std::size_t>(panels.count * panels.width * depth));
  pack_panels(panels, panels.width * depth, [&](std::int64_t panel) {
    const std::int64_t first = panel * panels.width;
    kernel().transpose(panels.columns(panel), depth, weight + first * depth, depth,
                       packed.data() + first * depth, panels.width);
  });
  const std::int64_t out_row = s.out_width() * s.out_channels;
  correlate({.in = x,
             .batch = s.batch,
             .height = s.height,
             .width = s.width,
             .channels = s.in_channels,
             .out = y,
             .rows = s.out_height(),
             .columns = s.out_width(),
             .out_image = s.out_height() * out_row,
             .out_row = out_row,
             .out_pixel = s.out_channels,
             .taps_h = s.kernel_h,
             .taps_w = s.kernel_w,
             .stride_h = s.stride_h,
             .stride_w = s.stride_w,
             .origin_h = -s.pad_h,
             .origin_w = -s.pad_w,
             .panels = packed.data(),
             .bias = bias},
            panels);
}

void backward_data(const ConvShape& s, const float* dy, const float* weight, float* dx) {
  for (std::int64_t residue_h = 0; residue_h < s.stride_h; ++residue_h)
    for (std::int64_t residue_w = 0; residue_w < s.stride_w; ++residue_w)
      backward_data_of(s, dy, weight, dx, residue_h, residue_w);
}

}  // namespace coarsegrad::direct
