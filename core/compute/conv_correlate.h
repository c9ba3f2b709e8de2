#pragma once
// The correlation that the direct convolutions are made of, in any arithmetic: a Kernel has `lanes`,
// `max_rows` and a register `tile` (core/kernels/matmul.h, matmul_codes.h).
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/base/elements.h"
#include "core/base/parallel.h"
#include "core/compute/conv.h"
#include "core/compute/conv_bands.h"

namespace coarsegrad::direct {

/// How output channels are cut into panels, each as wide as a register tile.
struct Panels {
  std::int64_t channels;  ///< output channels in all
  int vectors;            ///< vectors side by side in a panel, 1 to 3
  std::int64_t width,     ///< channels of a panel; the last one may have fewer
      count;              ///< panels

  /// Panels for n output channels and the tiles of `kernel`.
  template <class Kernel>
  Panels(const Kernel& kernel, std::int64_t n)
      : channels(n),
        vectors(vectors_for(n, kernel.lanes, kernel.max_rows)),
        width(vectors * kernel.lanes),
        count((n + width - 1) / width) {}
  /// Output channels of panel `panel`, 1 to `width`.
  int columns(std::int64_t panel) const { return static_cast<int>(std::min(width, channels - panel * width)); }

 private:
  // Two vectors are as fast as more of them from six rows on, and allow more rows. Three where they are all.
  static int vectors_for(std::int64_t n, std::int64_t lanes, const int* max_rows) {
    const std::int64_t needed = (n + lanes - 1) / lanes;
    if (needed <= 1 || max_rows[2] == 0) return 1;
    return needed == 3 && max_rows[3] > 0 ? 3 : 2;
  }
};

/// out(n, y, x, o) = epilogue of the sum over taps (ty, tx) and channels c of
///   in(n, y * stride_h + origin_h + ty, x * stride_w + origin_w + tx, c) * panels(ty, tx, c, o)
/// for rows x columns pixels of `out`, which need not lie densely. Panel p lies at panels + p * taps * channels *
/// panel_row; an element of depth takes panel_row elements of it. A step of the innermost loop covers
/// step_channels channels, a divisor of `channels`.
template <class In, class Packed>
struct Correlation {
  Elements<In> in;                 ///< (batch, height, width, channels)
  std::int64_t batch,              ///< images
      height,                      ///< pixels of `in` from top to bottom
      width,                       ///< pixels of `in` from left to right
      channels;                    ///< of `in`
  ElementSink<float> out;          ///< null where `sums` are wanted
  std::int64_t out_first,          ///< place in `out` of the first pixel that is computed
      rows,                        ///< rows of output pixels
      columns,                     ///< output pixels of a row
      out_image,                   ///< elements of `out` from image to image
      out_row,                     ///< elements of `out` from row to row
      out_pixel;                   ///< elements of `out` from pixel to pixel
  std::int64_t taps_h,             ///< taps from top to bottom
      taps_w,                      ///< taps from left to right
      stride_h,                    ///< rows of `in` from an output row to the next
      stride_w,                    ///< pixels of `in` from an output pixel to the next
      origin_h,                    ///< row of `in` that tap 0 of output row 0 reads; negative in the padding
      origin_w,                    ///< column of `in` that tap 0 of output column 0 reads
      in_apart = 0;                ///< elements of `in` between an image and the next
  const Packed* panels = nullptr;  ///< the packed weights
  std::int64_t panel_row = 0,      ///< elements of a panel for one element of depth
      step_channels = 1;           ///< channels of one step of the innermost loop
  const float *scale = nullptr,    ///< one per output channel, where the kernel's tile has scales
      *bias = nullptr;             ///< one per output channel, or null
  std::int32_t* sums = nullptr;    ///< the first pixel where integers are to be left as they are, laid out like `out`

  /// Products that one output sums.
  std::int64_t depth() const { return taps_h * taps_w * channels; }
  /// Elements of `in` from row to row.
  std::int64_t in_row() const { return width * channels; }
  /// Elements of an image of `in`.
  std::int64_t in_image() const { return height * in_row(); }
  /// Elements of `in` from image to image.
  std::int64_t in_distance() const { return in_image() + in_apart; }
};

/// The forward pass of `s`, without groups and dilation, over images of so many channels; the panels, how
/// they are read and the epilogue are left to be filled in.
template <class In, class Packed>
Correlation<In, Packed> forward_pass(const ConvShape& s, Elements<In> images, std::int64_t channels,
                                     ElementSink<float> y) {
  const std::int64_t out_row = s.out_width() * s.out_channels;
  return {.in = images,
          .batch = s.batch,
          .height = s.height,
          .width = s.width,
          .channels = channels,
          .out = y,
          .out_first = 0,
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
          .origin_w = -s.pad_w};
}

/// Backward data of `s`, without groups and dilation, for the pixels of two residues, from the gradient dy with so many
/// channels; where the result goes and the panels, the kernel turned round, are left to be filled in.
template <class In, class Packed>
Correlation<In, Packed> backward_pass(const ConvShape& s, const Residue& h, const Residue& w, Elements<In> dy,
                                      std::int64_t channels) {
  return {.in = dy,
          .batch = s.batch,
          .height = s.out_height(),
          .width = s.out_width(),
          .channels = channels,
          .out = nullptr,
          .out_first = 0,
          .rows = h.pixels,
          .columns = w.pixels,
          .out_image = 0,
          .out_row = 0,
          .out_pixel = 0,
          .taps_h = h.taps,
          .taps_w = w.taps,
          .stride_h = 1,
          .stride_w = 1,
          .origin_h = h.origin,
          .origin_w = w.origin};
}

/// Lets a backward_pass() write where the pixels of its residues lie in dx.
template <class In, class Packed>
void write_residues(const ConvShape& s, const Residue& h, const Residue& w, const ElementSink<float>& dx,
                    Correlation<In, Packed>& c) {
  const std::int64_t row = s.width * s.in_channels;
  c.out = dx;
  c.out_first = h.first_pixel * row + w.first_pixel * s.in_channels;
  c.out_image = s.height * row;
  c.out_row = s.stride_h * row;
  c.out_pixel = s.stride_w * s.in_channels;
}

/// One of the three directions (images, rows, columns) in which the pixels of a rectangle are neighbours.
struct Axis {
  std::int64_t count,  ///< pixels along it
      a_distance,      ///< elements of the input from pixel to pixel
      c_distance;      ///< elements of the output from pixel to pixel
};

/// What the register tiles of a panel can be.
struct TileShape {
  int vectors;        ///< of a row
  std::int64_t most;  ///< rows at most
  int block;          ///< rows are computed in blocks of so many
  bool far;           ///< the panel does not stay in the first-level cache while tiles pass over it
};

/// Time that a row of a tile costs, in half cycles of the vector units: that of the products, but at least that of
/// the loads and of the latency of a chain of additions, and what a vector of a panel takes that comes from further away
/// (measured). `pixels` are cut into tiles.
inline double cost_per_row(std::int64_t pixels, const TileShape& tile) {
  constexpr double kFarVector = 3;
  const std::int64_t tiles = (pixels + tile.most - 1) / tile.most;
  const double rows = static_cast<double>(pixels) / static_cast<double>(tiles);
  const double computed = tile.block > 1 ? std::ceil(rows / tile.block) * tile.block : rows;
  const double near = std::max({computed * tile.vectors, rows + tile.vectors, 8.0});
  return (near + (tile.far ? kFarVector * tile.vectors : 0)) / rows;
}

/// The axis that fills tiles best, along which the rows of a tile lie; near draws go to the closest neighbours.
inline int best_axis(const std::array<Axis, 3>& axes, const TileShape& tile) {
  const auto cost = [&](int i) { return cost_per_row(axes[static_cast<std::size_t>(i)].count, tile); };
  int best = 2;
  for (int i = 1; i >= 0; --i)
    if (cost(i) < 0.95 * cost(best)) best = i;
  return best;
}

/// Rows that a kernel computes together.
template <class Kernel>
int block_of(const Kernel& kernel) {
  if constexpr (requires { kernel.block; })
    return kernel.block;
  else
    return 1;
}

/// The axis along which sweep() lays the rows of its tiles, over a panel of so many bytes.
template <class Kernel>
int axis_of_rows(const Kernel& kernel, const std::array<Axis, 3>& axes, int vectors, std::int64_t panel_bytes) {
  constexpr std::int64_t kNearBytes = std::int64_t{32} << 10;
  return best_axis(axes, {vectors, kernel.max_rows[vectors], block_of(kernel), panel_bytes > kNearBytes});
}

/// Outputs larger than this leave the last-level cache before anybody reads them: they are written past it.
inline constexpr std::int64_t kStreamedBytes = std::int64_t{24} << 20;

/// Whether all tiles of `out` may be written past the caches: whole vectors of 64 aligned bytes, and too many to stay
/// in a cache.
template <class In, class Packed>
bool streams(const Correlation<In, Packed>& c, const Panels& panels) {
  constexpr std::int64_t kLine = 64, kLineElements = kLine / static_cast<std::int64_t>(sizeof(float));
  const std::int64_t bytes = c.batch * c.rows * c.columns * panels.channels * static_cast<std::int64_t>(sizeof(float));
  return c.out.there() && bytes > kStreamedBytes && panels.channels % panels.width == 0 &&
         c.out_pixel % kLineElements == 0 && c.out_row % kLineElements == 0 && c.out_image % kLineElements == 0 &&
         reinterpret_cast<std::uintptr_t>(c.out.values() + c.out_first) % kLine == 0;
}

/// Threads are not woken for fewer elements to be packed, or for fewer products, than this.
inline constexpr std::int64_t kElementsPerTask = std::int64_t{1} << 16, kProductsPerTask = std::int64_t{1} << 20;
/// Tasks beyond which none are cut once more.
inline constexpr std::int64_t kEnoughTasks = 8;

/// Calls pack(panel) for all panels, which have `elements` elements each, in parallel.
template <class Pack>
void pack_panels(const Panels& panels, std::int64_t elements, Pack&& pack) {
  const std::int64_t parts =
      std::clamp(panels.count * elements / kElementsPerTask, std::int64_t{1}, std::max(panels.count, std::int64_t{1}));
  parallel_for(parts, [&](std::int64_t part) {
    const TaskRange some = part_of(panels.count, parts, part);
    for (std::int64_t panel = some.begin; panel < some.end; ++panel) pack(panel);
  });
}

/// Element `i` of an array that may not be there.
template <class T>
T* at(T* array, std::int64_t i) {
  return array ? array + i : nullptr;
}

/// Computes all pixels of a box; `first` is the tile of its first pixel.
template <class Kernel>
void sweep(const Kernel& kernel, const std::array<Axis, 3>& axes, int vectors, const typename Kernel::Tile& first) {
  const std::int64_t most = kernel.max_rows[vectors];
  const std::int64_t panel = first.steps[1] * first.steps[2] * first.b_step[2];
  const int along = axis_of_rows(kernel, axes, vectors, panel * static_cast<std::int64_t>(sizeof(*first.b)));
  const Axis& rows = axes[static_cast<std::size_t>(along)];
  const Axis& outer = axes[along == 0 ? 1 : 0];
  const Axis& inner = axes[along == 2 ? 1 : 2];
  const std::int64_t tiles = (rows.count + most - 1) / most;
  typename Kernel::Tile t = first;
  t.a_row = rows.a_distance;
  t.c_row = rows.c_distance;
  for (std::int64_t i = 0; i < outer.count; ++i)
    for (std::int64_t j = 0; j < inner.count; ++j)
      for (std::int64_t k = 0; k < tiles; ++k) {
        const TaskRange part = part_of(rows.count, tiles, k);
        t.a = first.a + i * outer.a_distance + j * inner.a_distance + part.begin * rows.a_distance;
        const std::int64_t c = i * outer.c_distance + j * inner.c_distance + part.begin * rows.c_distance;
        t.c = at(first.c, c);
        if constexpr (requires { t.sums; }) t.sums = at(first.sums, c);
        t.rows = static_cast<int>(part.end - part.begin);
        kernel.tile(t);
      }
}

/// The correlation of some images of `c`, whose outputs go to where those of `c` are to lie, or to `own`, densely, where
/// these are to be handed over.
template <class In, class Packed>
Correlation<In, Packed> of_images(const Correlation<In, Packed>& c, TaskRange images, std::int64_t channels,
                                  float* own) {
  Correlation<In, Packed> some = c;
  some.batch = images.end - images.begin;
  some.sums = at(c.sums, images.begin * c.out_image);
  some.out_first = 0;
  if (c.out.there()) {
    some.out = at(c.out.values(), c.out_first + images.begin * c.out_image);
  } else {
    some.out = own;
    some.out_pixel = channels;
    some.out_row = c.columns * channels;
    some.out_image = c.rows * some.out_row;
  }
  return some;
}

/// Hands over what of_images() has left in `own`, a row or a pixel at a time.
template <class In, class Packed>
void hand_over(const Correlation<In, Packed>& c, TaskRange images, std::int64_t channels, const float* own) {
  const std::int64_t together = c.out_pixel == channels ? c.columns : 1;
  for (std::int64_t n = images.begin; n < images.end; ++n)
    for (std::int64_t y = 0; y < c.rows; ++y)
      for (std::int64_t x = 0; x < c.columns; x += together, own += together * channels) {
        const std::int64_t first = c.out_first + n * c.out_image + y * c.out_row + x * c.out_pixel;
        c.out.write(first, first + together * channels, own);
      }
}

/// The three directions in which the pixels of the rectangle of the bands y and x are neighbours.
template <class In, class Packed>
std::array<Axis, 3> axes_of(const Correlation<In, Packed>& c, const Band& y, const Band& x) {
  return {{{c.batch, c.in_distance(), c.out_image},
           {y.end - y.begin, c.stride_h * c.in_row(), c.out_row},
           {x.end - x.begin, c.stride_w * c.channels, c.out_pixel}}};
}

/// Whether many of the tiles of `images` images at a time lie along images that are whole pages apart: they would share a
/// few lines of the first-level cache, and evict each other.
template <class Kernel, class In, class Packed>
bool images_collide(const Kernel& kernel, const Correlation<In, Packed>& c, const Panels& panels,
                    const std::vector<Band>& rows, const std::vector<Band>& columns, std::int64_t images) {
  constexpr std::int64_t kPage = 4096, kImages = 8;  // the ways of that cache
  const std::int64_t distance = c.in_distance() * static_cast<std::int64_t>(sizeof(In));
  if (images < kImages || distance == 0 || distance % kPage != 0) return false;
  Correlation<In, Packed> some = c;
  some.batch = images;
  std::int64_t pixels = 0;
  for (const Band& y : rows)
    for (const Band& x : columns) {
      const std::int64_t panel =
          y.taps() * x.taps() * c.channels * c.panel_row * static_cast<std::int64_t>(sizeof(Packed));
      if (axis_of_rows(kernel, axes_of(some, y, x), panels.vectors, panel) == 0)
        pixels += (y.end - y.begin) * (x.end - x.begin);
    }
  return 4 * pixels >= c.rows * c.columns;
}

/// Computes one panel for the rectangle of the bands y and x in all images of `c`, which `in` holds and whose outputs
/// are in memory.
template <class Kernel, class In, class Packed>
void correlate_rectangle(const Kernel& kernel, const Correlation<In, Packed>& c, const Panels& panels,
                         std::int64_t panel, const In* in, bool stream, const Band& y, const Band& x) {
  const std::int64_t in_y = y.begin * c.stride_h + c.origin_h + y.first_tap;
  const std::int64_t in_x = x.begin * c.stride_w + c.origin_w + x.first_tap;
  const std::int64_t first_tap = y.first_tap * c.taps_w + x.first_tap;
  const std::int64_t first_channel = panel * panels.width;
  const std::int64_t first = y.begin * c.out_row + x.begin * c.out_pixel + first_channel;
  typename Kernel::Tile tile{.a = at(in, in_y * c.in_row() + in_x * c.channels),
                             .a_row = 0,
                             .b = at(c.panels, (panel * c.depth() + first_tap * c.channels) * c.panel_row),
                             .steps = {1, y.taps(), x.taps() * c.channels / c.step_channels},
                             .a_step = {0, c.in_row(), c.step_channels},
                             .b_step = {0, c.taps_w * c.channels * c.panel_row, c.panel_row * c.step_channels},
                             .c = at(c.out.values(), first),
                             .c_row = 0,
                             .rows = 0,
                             .columns = panels.columns(panel),
                             .bias = at(c.bias, first_channel)};
  if constexpr (requires { tile.scale; }) tile.scale = at(c.scale, first_channel);
  if constexpr (requires { tile.sums; }) tile.sums = at(c.sums, first);
  if constexpr (requires { tile.stream; }) tile.stream = stream;
  sweep(kernel, axes_of(c, y, x), panels.vectors, tile);
}

template <class Kernel, class In, class Packed>
void correlate(const Kernel& kernel, const Correlation<In, Packed>& c, const Panels& panels);

/// correlate() on a copy of the images that lies a cache line less densely.
template <class Kernel, class In, class Packed>
void correlate_apart(const Kernel& kernel, const Correlation<In, Packed>& c, const Panels& panels) {
  Correlation<In, Packed> apart = c;
  apart.in_apart = 64 / static_cast<std::int64_t>(sizeof(In));
  const Scratch<In> copy(static_cast<std::size_t>(c.batch * apart.in_distance()));
  parallel_ranges(c.batch, std::max(kElementsPerTask / c.in_image(), std::int64_t{1}),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t n = begin; n < end; ++n)
                      c.in.read(n * c.in_image(), (n + 1) * c.in_image(), copy.data() + n * apart.in_distance());
                  });
  apart.in = copy.data();
  correlate(kernel, apart, panels);
}

/// Computes the correlation. Tasks are groups of panels times groups of images: the weights of one and the images of
/// the other share the second-level cache. Where that makes few tasks of much work, they are cut once more: between
/// panels where the weights take more bytes than the images, between rows of pixels otherwise.
template <class Kernel, class In, class Packed>
void correlate(const Kernel& kernel, const Correlation<In, Packed>& c, const Panels& panels) {
  constexpr std::int64_t kPanelBytes = std::int64_t{384} << 10, kImageBytes = std::int64_t{512} << 10;
  const auto bytes = [](std::int64_t elements, std::size_t size) { return elements * static_cast<std::int64_t>(size); };
  const std::int64_t together = std::max(
      kPanelBytes / std::max(bytes(c.panel_row * c.depth(), sizeof(Packed)), std::int64_t{1}), std::int64_t{1});
  // Whoever hands over images has all their channels.
  std::int64_t groups = c.out.there() ? (panels.count + together - 1) / together : 1;
  const std::int64_t image_bytes =
      bytes(c.in_image(), sizeof(In)) + bytes(c.rows * c.columns * panels.channels / groups, sizeof(float));
  const std::int64_t products = c.rows * c.columns * c.depth() * panels.channels / groups;
  const std::int64_t chunk =
      std::max(std::clamp(kImageBytes / std::max(image_bytes, std::int64_t{1}), std::int64_t{1}, std::int64_t{64}),
               kProductsPerTask / std::max(products, std::int64_t{1}));
  const std::int64_t most = kernel.max_rows[panels.vectors];  // rows of a tile, which may be images
  const std::int64_t whole = chunk >= most ? chunk / most * most : chunk;
  const std::int64_t chunks = (c.batch + whole - 1) / whole;
  const std::vector<Band> rows = bands(c.rows, c.stride_h, c.origin_h, c.taps_h, c.height);
  const std::vector<Band> columns = bands(c.columns, c.stride_w, c.origin_w, c.taps_w, c.width);
  if (images_collide(kernel, c, panels, rows, columns, std::min(whole, c.batch)))
    return correlate_apart(kernel, c, panels);
  const std::int64_t all_products = c.batch * c.rows * c.columns * c.depth() * panels.channels;
  const std::int64_t wanted = std::min(kEnoughTasks, (all_products + kProductsPerTask - 1) / kProductsPerTask);
  std::int64_t parts = 1;  // of the rows
  if (c.in.there() && c.out.there() && groups * chunks < wanted) {
    const std::int64_t more = (wanted + groups * chunks - 1) / (groups * chunks);
    if (bytes(c.panel_row * c.depth() * panels.count, sizeof(Packed)) > c.batch * bytes(c.in_image(), sizeof(In)))
      groups = std::min(groups * more, panels.count);
    else
      parts = std::clamp(more, std::int64_t{1}, std::max(c.rows, std::int64_t{1}));
  }
  const bool stream = streams(c, panels);
  parallel_for(groups * chunks * parts, [&](std::int64_t task) {
    const TaskRange some = part_of(panels.count, groups, task / parts / chunks),
                    images = part_of(c.batch, chunks, task / parts % chunks),
                    lines = part_of(c.rows, parts, task % parts);
    const ElementWindow<In> in(c.in, images.begin * c.in_distance(), images.end * c.in_distance());
    const std::int64_t outputs = (images.end - images.begin) * c.rows * c.columns * panels.channels;
    const Scratch<float> own(static_cast<std::size_t>(c.out.there() ? 0 : outputs));
    const auto images_of_task = of_images(c, images, panels.channels, own.data());
    for (std::int64_t panel = some.begin; panel < some.end; ++panel)
      for (const Band& y : rows) {
        const Band some_y{std::max(y.begin, lines.begin), std::min(y.end, lines.end), y.first_tap, y.last_tap};
        if (some_y.begin >= some_y.end) continue;
        for (const Band& x : columns)
          correlate_rectangle(kernel, images_of_task, panels, panel, in.data(), stream, some_y, x);
      }
    if (!c.out.there()) hand_over(c, images, panels.channels, own.data());
    std::atomic_thread_fence(std::memory_order_seq_cst);  // streamed writes are not ordered otherwise
  });
}

}  // namespace coarsegrad::direct
