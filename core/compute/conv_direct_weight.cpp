// Backward weight: dweight(o, ky, kx, c) sums dy(pixel, o) x(pixel moved by the tap, c) over all output
// pixels. For one kernel row, (kx, c) is a contiguous run of x. A tile has output channels as rows and a
// piece of that run as columns, or, where the run is shorter than a vector, the run as rows and output
// channels as columns.
#include <algorithm>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/conv_bands.h"
#include "core/compute/conv_direct.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::direct {
namespace {

using Kernel = kernels::Matmul<float>;

// How the sum is cut: into groups of images with sums of their own, which are added up at the end, and into
// pieces of dweight: ranges of kernel rows and of output channels.
struct Cut {
  std::int64_t image_groups, kernel_groups, channel_groups;

  explicit Cut(const ConvShape& s, std::int64_t elements) {
    constexpr std::int64_t kMaxElements = std::int64_t{1} << 18, kMaxGroups = 16, kChannels = 128;
    constexpr std::int64_t kProductsPerTask = std::int64_t{1} << 20;
    const std::int64_t products = s.batch * s.out_height() * s.out_width() * elements;
    const std::int64_t most = std::min({s.batch, kMaxGroups, products / kProductsPerTask});
    image_groups = std::clamp(kMaxElements / std::max(elements, std::int64_t{1}), std::int64_t{1},
                              std::max(most, std::int64_t{1}));
    channel_groups = std::max((s.out_channels + kChannels - 1) / kChannels, std::int64_t{1});
    // Kernel rows together read the images once; they are set apart where there would be too few tasks.
    const bool enough = image_groups * channel_groups >= kMaxGroups / 2 || products < kMaxGroups * kProductsPerTask;
    kernel_groups = enough ? 1 : s.kernel_h;
  }
};

class WeightGradient {
 public:
  WeightGradient(const ConvShape& shape, Elements<float> x, Elements<float> dy)
      : s_(shape),
        x_(x),
        dy_(dy),
        kernel_(real_kernels<float>().matmul),
        run_(s_.kernel_w * s_.in_channels),
        elements_(s_.out_channels * s_.kernel_h * run_),
        channels_as_columns_(run_ < kernel_.lanes),
        packs_(s_.in_channels >= kPackedChannels && s_.out_channels >= kPackedChannels),
        cut_(s_, elements_),
        rows_(bands_of_taps(s_.out_height(), s_.stride_h, -s_.pad_h, s_.kernel_h, s_.height)),
        columns_(s_.in_channels >= 2 * kernel_.lanes
                     ? bands_of_taps(s_.out_width(), s_.stride_w, -s_.pad_w, s_.kernel_w, s_.width)
                     : bands(s_.out_width(), s_.stride_w, -s_.pad_w, s_.kernel_w, s_.width)) {}

  void compute(float* dweight) {
    const bool in_place = cut_.image_groups == 1 && !channels_as_columns_;
    const Scratch<float> scratch(static_cast<std::size_t>(in_place ? 0 : cut_.image_groups * elements_));
    float* sums = in_place ? dweight : scratch.data();
    const std::int64_t pieces = cut_.kernel_groups * cut_.channel_groups;
    parallel_for(cut_.image_groups * pieces, [&](std::int64_t task) {
      const std::int64_t piece = task % pieces, group = task / pieces;
      add_piece(part_of(s_.batch, cut_.image_groups, group),
                part_of(s_.kernel_h, cut_.kernel_groups, piece / cut_.channel_groups),
                part_of(s_.out_channels, cut_.channel_groups, piece % cut_.channel_groups), sums + group * elements_);
    });
    if (!in_place) add_up(sums, dweight);
  }

 private:
  // Elements of a sum from one output channel, and from one element of the run, to the next. With channels as
  // columns the sum is [kernel row][run][output channel], otherwise it is laid out as dweight.
  std::int64_t channel_step() const { return channels_as_columns_ ? 1 : s_.kernel_h * run_; }
  std::int64_t in_image() const { return s_.height * s_.width * s_.in_channels; }
  std::int64_t out_image() const { return s_.out_height() * s_.out_width() * s_.out_channels; }
  std::int64_t run_step() const { return channels_as_columns_ ? s_.out_channels : 1; }

  void add_piece(TaskRange images, TaskRange kernel_rows, TaskRange channels, float* sum) const {
    const TaskRange run{kernel_rows.begin * run_, kernel_rows.end * run_};
    for (std::int64_t o = channels.begin; o < channels.end; ++o)
      for (std::int64_t i = run.begin; i < run.end; ++i) sum[o * channel_step() + i * run_step()] = 0;
    const std::int64_t all = images.end - images.begin, parts = (all + images_at_once() - 1) / images_at_once();
    for (std::int64_t part = 0; part < parts; ++part) {
      const TaskRange local = part_of(all, parts, part), some{images.begin + local.begin, images.begin + local.end};
      const ElementWindow<float> in(x_, some.begin * in_image(), some.end * in_image()),
          dy(dy_, some.begin * out_image(), some.end * out_image());
      for (std::int64_t ky = kernel_rows.begin; ky < kernel_rows.end; ++ky)
        for (const Band& x : columns_)
          add_rectangle(in.data(), dy.data(), some.end - some.begin, channels, rows_[static_cast<std::size_t>(ky)], x,
                        sum);
    }
  }

  // As many images as stay in the second-level cache while all tiles pass over them.
  std::int64_t images_at_once() const {
    constexpr std::int64_t kElements = std::int64_t{1} << 17;
    const std::int64_t channels = s_.out_channels / cut_.channel_groups;
    const std::int64_t image = s_.height * s_.width * s_.in_channels + s_.out_height() * s_.out_width() * channels;
    return std::max(kElements / std::max(image, std::int64_t{1}), std::int64_t{1});
  }

  // One operand of the products: where it is at the first pixel, and its steps to the next image, row and column.
  struct Operand {
    const float* data;
    std::int64_t step[3];
  };

  // The products of the output pixels of y and x with the taps that they have in common, in so many images.
  void add_rectangle(const float* images_in, const float* images_dy, std::int64_t images, TaskRange channels,
                     const Band& y, const Band& x, float* sum) const {
    const std::int64_t pixels[3] = {images, y.end - y.begin, x.end - x.begin};
    if (pixels[0] * pixels[1] * pixels[2] == 0 || x.taps() == 0) return;
    const std::int64_t out_row = s_.out_width() * s_.out_channels, in_row = s_.width * s_.in_channels;
    const std::int64_t in_y = y.begin * s_.stride_h - s_.pad_h + y.first_tap;
    const std::int64_t in_x = x.begin * s_.stride_w - s_.pad_w + x.first_tap;
    const Operand dy{images_dy + y.begin * out_row + x.begin * s_.out_channels + channels.begin,
                     {out_image(), out_row, s_.out_channels}};
    const Operand in{images_in + in_y * in_row + in_x * s_.in_channels,
                     {in_image(), s_.stride_h * in_row, s_.stride_w * s_.in_channels}};
    const std::int64_t run = x.taps() * s_.in_channels, outputs = channels.end - channels.begin;
    float* c = sum + channels.begin * channel_step() + (y.first_tap * run_ + x.first_tap * s_.in_channels) * run_step();
    if (channels_as_columns_)
      add_block(in, run, dy, outputs, pixels, c, run_step());
    else if (packs_)
      add_packed(dy, outputs, in, run, pixels, c);
    else
      add_block(dy, outputs, in, run, pixels, c, channel_step());
  }

  // c[i * c_row + j] += the sum over pixels of a(i) b(j).
  void add_block(const Operand& a, std::int64_t rows, const Operand& b, std::int64_t columns,
                 const std::int64_t (&pixels)[3], float* c, std::int64_t c_row) const {
    const std::int64_t vectors = (columns + kernel_.lanes - 1) / kernel_.lanes;
    const std::int64_t most_vectors = kernel_.max_rows[3] > 0 ? 3 : 2;
    const std::int64_t blocks = (vectors + most_vectors - 1) / most_vectors;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const TaskRange part = part_of(vectors, blocks, block);
      const std::int64_t first = part.begin * kernel_.lanes, last = std::min(part.end * kernel_.lanes, columns);
      const std::int64_t most = kernel_.max_rows[part.end - part.begin], tiles = (rows + most - 1) / most;
      for (std::int64_t t = 0; t < tiles; ++t) {
        const TaskRange some = part_of(rows, tiles, t);
        kernel_.tile({.a = a.data + some.begin,
                      .a_row = 1,
                      .b = b.data + first,
                      .steps = {pixels[0], pixels[1], pixels[2]},
                      .a_step = {a.step[0], a.step[1], a.step[2]},
                      .b_step = {b.step[0], b.step[1], b.step[2]},
                      .c = c + some.begin * c_row + first,
                      .c_row = c_row,
                      .rows = static_cast<int>(some.end - some.begin),
                      .columns = static_cast<int>(last - first),
                      .accumulate = true});
      }
    }
  }

  // What add_block does, for many channels: there tiles would meet the same few cache lines again and again, as pixels
  // are a power of two apart. Some pixels at a time, both operands are packed into the order in which tiles read them.
  void add_packed(const Operand& dy, std::int64_t outputs, const Operand& in, std::int64_t inputs,
                  const std::int64_t (&pixels)[3], float* c) const {
    const std::int64_t rows = std::clamp(kPackedPixels / pixels[2], std::int64_t{1}, pixels[1]);
    const std::int64_t images = std::clamp(kPackedPixels / (rows * pixels[2]), std::int64_t{1}, pixels[0]);
    const std::int64_t tiles = (outputs + kernel_.max_rows[2] - 1) / kernel_.max_rows[2];
    const auto most = static_cast<std::size_t>(images * rows * pixels[2]);
    const Scratch<float> packed_dy(static_cast<std::size_t>(tiles * kTileRows) * most);
    const Scratch<float> packed_in(static_cast<std::size_t>(2 * kernel_.lanes) * most);
    for (std::int64_t n = 0; n < pixels[0]; n += images)
      for (std::int64_t y = 0; y < pixels[1]; y += rows) {
        const std::int64_t some[3] = {std::min(images, pixels[0] - n), std::min(rows, pixels[1] - y), pixels[2]};
        const auto at = [&](const Operand& o) {
          return Operand{o.data + n * o.step[0] + y * o.step[1], {o.step[0], o.step[1], o.step[2]}};
        };
        add_pixels(at(dy), outputs, at(in), inputs, some, packed_dy.data(), packed_in.data(), c);
      }
  }

  void add_pixels(const Operand& dy, std::int64_t outputs, const Operand& in, std::int64_t inputs,
                  const std::int64_t (&pixels)[3], float* packed_dy, float* packed_in, float* c) const {
    const std::int64_t depth = pixels[0] * pixels[1] * pixels[2], width = 2 * kernel_.lanes;
    const std::int64_t tiles = (outputs + kernel_.max_rows[2] - 1) / kernel_.max_rows[2];
    for (std::int64_t t = 0; t < tiles; ++t)
      pack<kTileRows>(dy, outputs, part_of(outputs, tiles, t), pixels, packed_dy + t * depth * kTileRows);
    for (std::int64_t first = 0; first < inputs; first += width) {
      const std::int64_t columns = std::min(width, inputs - first);
      if (width == 32)
        pack<32>(in, inputs, {first, first + columns}, pixels, packed_in);
      else
        pack<16>(in, inputs, {first, first + columns}, pixels, packed_in);
      for (std::int64_t t = 0; t < tiles; ++t) {
        const TaskRange some = part_of(outputs, tiles, t);
        kernel_.tile({.a = packed_dy + t * depth * kTileRows,
                      .a_row = 1,
                      .b = packed_in,
                      .steps = {1, 1, depth},
                      .a_step = {0, 0, kTileRows},
                      .b_step = {0, 0, width},
                      .c = c + some.begin * channel_step() + first,
                      .c_row = channel_step(),
                      .rows = static_cast<int>(some.end - some.begin),
                      .columns = static_cast<int>(columns),
                      .accumulate = true});
      }
    }
  }

  // to[pixel * kStep + i] = element i of `some`, for all pixels in order. Where the image has kStep elements
  // to give, all are copied: that is faster than the exact number of them.
  template <std::int64_t kStep>
  static void pack(const Operand& from, std::int64_t elements, TaskRange some, const std::int64_t (&pixels)[3],
                   float* to) {
    const bool room = some.begin + kStep <= elements;
    for (std::int64_t image = 0; image < pixels[0]; ++image)
      for (std::int64_t y = 0; y < pixels[1]; ++y) {
        const float* row = from.data + image * from.step[0] + y * from.step[1] + some.begin;
        for (std::int64_t x = 0; x < pixels[2]; ++x, row += from.step[2], to += kStep)
          if (room)
            std::copy_n(row, kStep, to);
          else
            std::copy_n(row, some.end - some.begin, to);
      }
  }

  // dweight = the sums of all groups of images, in their order.
  void add_up(const float* sums, float* dweight) const {
    constexpr std::int64_t kSumsPerTask = std::int64_t{1} << 15;
    const std::int64_t parts = std::clamp(elements_ * cut_.image_groups / kSumsPerTask, std::int64_t{1},
                                          std::max(s_.out_channels, std::int64_t{1}));
    parallel_for(parts, [&](std::int64_t part) {
      const TaskRange channels = part_of(s_.out_channels, parts, part);
      for (std::int64_t o = channels.begin; o < channels.end; ++o)
        for (std::int64_t i = 0; i < s_.kernel_h * run_; ++i) {
          const float* sum = sums + o * channel_step() + i * run_step();
          float total = sum[0];
          for (std::int64_t group = 1; group < cut_.image_groups; ++group) total += sum[group * elements_];
          dweight[o * s_.kernel_h * run_ + i] = total;
        }
    });
  }

  static constexpr std::int64_t kPackedChannels = 128;
  static constexpr std::int64_t kPackedPixels = 256;
  static constexpr std::int64_t kTileRows = 16;  // places for the rows of a tile, not fewer than any tile has

  const ConvShape& s_;
  Elements<float> x_, dy_;
  const Kernel& kernel_;
  std::int64_t run_, elements_;
  bool channels_as_columns_, packs_;
  Cut cut_;
  std::vector<Band> rows_, columns_;
};

}  // namespace

void backward_weight(const ConvShape& s, Elements<float> x, Elements<float> dy, float* dweight) {
  WeightGradient(s, x, dy).compute(dweight);
}

}  // namespace coarsegrad::direct
