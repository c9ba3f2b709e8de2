// Backward weight: dweight(o, ky, kx, c) sums dy(pixel, o) x(pixel moved by the tap, c) over all output
// pixels. For one kernel row, (kx, c) is a contiguous run of x. A tile has output channels as rows and a
// piece of that run as columns, or, where the run is shorter than a vector, the run as rows and output
// channels as columns.
#include <algorithm>

#include "core/base/conv_bands.h"
#include "core/base/conv_direct.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::direct {
namespace {

using Kernel = kernels::Matmul<float>;

// How the sum is cut: into groups of images with sums of their own, which are added up at the end, and into
// pieces of dweight: a kernel row and a range of output channels.
struct Cut {
  std::int64_t image_groups, channel_groups;

  explicit Cut(const ConvShape& s, std::int64_t elements) {
    constexpr std::int64_t kMaxElements = std::int64_t{1} << 18, kMaxGroups = 16, kChannels = 64;
    image_groups = std::clamp(kMaxElements / std::max(elements, std::int64_t{1}), std::int64_t{1},
                              std::clamp(s.batch, std::int64_t{1}, kMaxGroups));
    channel_groups = std::max((s.out_channels + kChannels - 1) / kChannels, std::int64_t{1});
  }
};

class WeightGradient {
 public:
  WeightGradient(const ConvShape& shape, const float* x, const float* dy)
      : s_(shape),
        x_(x),
        dy_(dy),
        kernel_(real_kernels<float>().matmul),
        run_(s_.kernel_w * s_.in_channels),
        elements_(s_.out_channels * s_.kernel_h * run_),
        channels_as_columns_(run_ < kernel_.lanes),
        cut_(s_, elements_),
        rows_(bands(s_.out_height(), s_.stride_h, -s_.pad_h, s_.kernel_h, s_.height)),
        columns_(bands(s_.out_width(), s_.stride_w, -s_.pad_w, s_.kernel_w, s_.width)) {}

  void compute(float* dweight) {
    const Scratch<float> sums(static_cast<std::size_t>(cut_.image_groups * elements_));
    const std::int64_t pieces = s_.kernel_h * cut_.channel_groups;
    parallel_for(cut_.image_groups * pieces, [&](std::int64_t task) {
      const std::int64_t piece = task % pieces, group = task / pieces;
      add_piece(part_of(s_.batch, cut_.image_groups, group), piece / cut_.channel_groups,
                part_of(s_.out_channels, cut_.channel_groups, piece % cut_.channel_groups),
                sums.data() + group * elements_);
    });
    add_up(sums.data(), dweight);
  }

 private:
  // Elements of a sum from one output channel, and from one element of the run, to the next. With channels as
  // columns the sum is [kernel row][run][output channel], otherwise it is laid out as dweight.
  std::int64_t channel_step() const { return channels_as_columns_ ? 1 : s_.kernel_h * run_; }
  std::int64_t run_step() const { return channels_as_columns_ ? s_.out_channels : 1; }

  void add_piece(Range images, std::int64_t ky, Range channels, float* sum) const {
    for (std::int64_t o = channels.begin; o < channels.end; ++o)
      for (std::int64_t i = 0; i < run_; ++i) sum[o * channel_step() + (ky * run_ + i) * run_step()] = 0;
    // As many images at a time as stay in the second-level cache while all tiles pass over them.
    constexpr std::int64_t kBytes = std::int64_t{512} << 10;
    const std::int64_t image_bytes = static_cast<std::int64_t>(sizeof(float)) *
                                     (s_.height * s_.width * s_.in_channels +
                                      s_.out_height() * s_.out_width() * (channels.end - channels.begin));
    const std::int64_t together = std::max(kBytes / std::max(image_bytes, std::int64_t{1}), std::int64_t{1});
    for (std::int64_t n = images.begin; n < images.end; n += together)
      for (const Band& y : rows_)
        for (const Band& x : columns_)
          if (ky >= y.first_tap && ky < y.last_tap && x.taps() > 0)
            add_rectangle({n, std::min(n + together, images.end)}, ky, channels, y, x, sum);
  }

  // One operand of the products: where it is at the first pixel, and its steps to the next image, row and
  // column.
  struct Operand {
    const float* data;
    std::int64_t step[3];
  };

  void add_rectangle(Range images, std::int64_t ky, Range channels, const Band& y, const Band& x,
                     float* sum) const {
    const std::int64_t out_row = s_.out_width() * s_.out_channels, in_row = s_.width * s_.in_channels;
    const std::int64_t in_y = y.begin * s_.stride_h - s_.pad_h + ky;
    const std::int64_t in_x = x.begin * s_.stride_w - s_.pad_w + x.first_tap;
    const Operand dy{dy_ + (images.begin * s_.out_height() + y.begin) * out_row + x.begin * s_.out_channels +
                         channels.begin,
                     {s_.out_height() * out_row, out_row, s_.out_channels}};
    const Operand in{x_ + (images.begin * s_.height + in_y) * in_row + in_x * s_.in_channels,
                     {s_.height * in_row, s_.stride_h * in_row, s_.stride_w * s_.in_channels}};
    const std::int64_t pixels[3] = {images.end - images.begin, y.end - y.begin, x.end - x.begin};
    const std::int64_t run_begin = ky * run_ + x.first_tap * s_.in_channels, run = x.taps() * s_.in_channels;
    float* c = sum + channels.begin * channel_step() + run_begin * run_step();
    if (channels_as_columns_)
      add_block(in, run, dy, channels.end - channels.begin, pixels, c, run_step());
    else
      add_block(dy, channels.end - channels.begin, in, run, pixels, c, channel_step());
  }

  // c[i * c_row + j] += the sum over pixels of a(i) b(j).
  void add_block(const Operand& a, std::int64_t rows, const Operand& b, std::int64_t columns,
                 const std::int64_t (&pixels)[3], float* c, std::int64_t c_row) const {
    const std::int64_t vectors = (columns + kernel_.lanes - 1) / kernel_.lanes;
    const std::int64_t most_vectors = kernel_.max_rows[3] > 0 ? 3 : 2;
    const std::int64_t blocks = (vectors + most_vectors - 1) / most_vectors;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const Range part = part_of(vectors, blocks, block);
      const std::int64_t first = part.begin * kernel_.lanes,
                         last = std::min(part.end * kernel_.lanes, columns);
      const std::int64_t most = kernel_.max_rows[part.end - part.begin], tiles = (rows + most - 1) / most;
      for (std::int64_t t = 0; t < tiles; ++t) {
        const Range some = part_of(rows, tiles, t);
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

  // dweight = the sums of all groups of images, in their order.
  void add_up(const float* sums, float* dweight) const {
    parallel_for(s_.out_channels, [&](std::int64_t o) {
      for (std::int64_t i = 0; i < s_.kernel_h * run_; ++i) {
        const float* sum = sums + o * channel_step() + i * run_step();
        float total = sum[0];
        for (std::int64_t group = 1; group < cut_.image_groups; ++group) total += sum[group * elements_];
        dweight[o * s_.kernel_h * run_ + i] = total;
      }
    });
  }

  const ConvShape& s_;
  const float *x_, *dy_;
  const Kernel& kernel_;
  std::int64_t run_, elements_;
  bool channels_as_columns_;
  Cut cut_;
  std::vector<Band> rows_, columns_;
};

}  // namespace

void backward_weight(const ConvShape& s, const float* x, const float* dy, float* dweight) {
  WeightGradient(s, x, dy).compute(dweight);
}

}  // namespace coarsegrad::direct
