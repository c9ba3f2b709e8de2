// The gradient with respect to the weight on codes: for each tap a product of matrices whose depth are images and
// pixels. Images come first: four of them are a step of the kernels, whatever the taps and the stride. Codes of x are the
// rows (unsigned or signed), codes of dy the columns, as signed bytes b = k - 128:
//   I = sum of x (k - zero_g) = sum of x b - (zero_g - 128) X, X = sum of x over what a tap meets.
#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/conv_codes_backward.h"
#include "core/compute/conv_correlate.h"
#include "core/compute/side_by_side.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using kernels::kCodesPerStep;

std::int64_t steps_of(std::int64_t batch) { return (batch + kCodesPerStep - 1) / kCodesPerStep; }

// The rows of `size` codes of four images beside each other; those behind the last image are null.
struct FourImages {
  const std::uint8_t* rows[kCodesPerStep] = {};

  FourImages(const std::uint8_t* codes, std::int64_t batch, std::int64_t size, std::int64_t step) {
    for (std::int64_t k = 0; k < kCodesPerStep; ++k)
      if (step * kCodesPerStep + k < batch) rows[k] = codes + (step * kCodesPerStep + k) * size;
  }
  /// As side_by_side(), from element `begin` of the rows on.
  void copy(std::int64_t begin, std::int64_t n, std::uint8_t flip, std::uint8_t* to) const {
    const std::uint8_t* from[kCodesPerStep];
    for (int k = 0; k < kCodesPerStep; ++k) from[k] = rows[k] ? rows[k] + begin : nullptr;
    side_by_side(from, n, flip, to);
  }
};

// The codes of one element of all images next to each other, element after element.
template <class In>
class ImagesInside {
 public:
  ImagesInside(const kernels::CodeProduct<In>& kernel, std::int64_t batch, std::int64_t size, const std::uint8_t* codes)
      : row_((steps_of(batch) + kernel.lanes - 1) / kernel.lanes * kernel.lanes * kCodesPerStep),
        codes_(static_cast<std::size_t>(size * row_)) {
    constexpr std::int64_t kElements = 512;  // whose steps stay in the caches until they are turned
    const std::int64_t steps = steps_of(batch);
    parallel_ranges(size, kElements, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t n = end - begin, from_row = n * kCodesPerStep;
      const Scratch<std::uint8_t> together(static_cast<std::size_t>(steps * from_row));
      for (std::int64_t step = 0; step < steps; ++step)
        FourImages(codes, batch, size, step).copy(begin, n, 0, together.data() + step * from_row);
      kernel.pack(static_cast<int>(steps), static_cast<int>(row_ / kCodesPerStep), n,
                  reinterpret_cast<const std::int8_t*>(together.data()), from_row,
                  reinterpret_cast<std::int8_t*>(codes_.data() + begin * row_));
    });
  }
  /// Bytes from element to element.
  std::int64_t row() const { return row_; }
  const In* at(std::int64_t element) const { return codes_.data() + element * row_; }

 private:
  std::int64_t row_;
  Scratch<In> codes_;
};

// Signed codes of dy in panels of output channels: (panel, pixel, step, channel, image).
class GradientPanels {
 public:
  GradientPanels(const direct::Panels& panels, const ConvShape& s, const std::uint8_t* codes)
      : panels_(panels),
        pixels_(s.out_height() * s.out_width()),
        steps_(steps_of(s.batch)),
        codes_(static_cast<std::size_t>(panels.count * pixels_ * steps_ * step())) {
    const std::int64_t together =
        std::max(kTaskElements / std::max(steps_ * step() * panels.count, std::int64_t{1}), std::int64_t{1});
    parallel_ranges(pixels_, together, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t q = 0; q < steps_; ++q) {
        const FourImages four(codes, s.batch, pixels_ * s.out_channels, q);
        for (std::int64_t pixel = begin; pixel < end; ++pixel)
          for (std::int64_t panel = 0; panel < panels.count; ++panel) copy(four, panel, pixel, q);
      }
    });
  }
  /// Bytes of a step.
  std::int64_t step() const { return panels_.width * kCodesPerStep; }
  const std::int8_t* at(std::int64_t panel, std::int64_t pixel, std::int64_t q) const {
    return codes_.data() + offset(panel, pixel, q);
  }

 private:
  std::int64_t offset(std::int64_t panel, std::int64_t pixel, std::int64_t q) const {
    return ((panel * pixels_ + pixel) * steps_ + q) * step();
  }
  void copy(const FourImages& four, std::int64_t panel, std::int64_t pixel, std::int64_t q) {
    auto* const to = reinterpret_cast<std::uint8_t*>(codes_.data() + offset(panel, pixel, q));
    const std::int64_t n = panels_.columns(panel);
    four.copy(pixel * panels_.channels + panel * panels_.width, n, kSignBit, to);
    std::fill(to + n * kCodesPerStep, to + step(), std::uint8_t{0});
  }

  const direct::Panels& panels_;
  std::int64_t pixels_, steps_;
  Scratch<std::int8_t> codes_;
};

// Steps and output pixels that are summed in 32 bits.
struct Piece {
  TaskRange steps, rows, columns;
};

// All of a sum in pieces: as many steps of one pixel, then as many pixels of one row, then as many rows as fit.
std::vector<Piece> pieces_of_sum(const ConvShape& s) {
  constexpr std::int64_t kMost = 2048;  // steps: the operands of a tile stay in the second-level cache
  static_assert(kMost * kCodesPerStep <= kernels::kMaxCodeDepth);
  const auto cut = [](std::int64_t n, std::int64_t most) {
    return std::clamp(most, std::int64_t{1}, std::max(n, std::int64_t{1}));
  };
  const std::int64_t all = steps_of(s.batch), steps = cut(all, kMost);
  const std::int64_t columns = steps < all ? 1 : cut(s.out_width(), kMost / steps);
  const std::int64_t rows = columns < s.out_width() ? 1 : cut(s.out_height(), kMost / (steps * columns));
  std::vector<Piece> pieces;
  for (std::int64_t y = 0; y < s.out_height(); y += rows)
    for (std::int64_t x = 0; x < s.out_width(); x += columns)
      for (std::int64_t q = 0; q < all; q += steps)
        pieces.push_back({{q, std::min(q + steps, all)},
                          {y, std::min(y + rows, s.out_height())},
                          {x, std::min(x + columns, s.out_width())}});
  return pieces;
}

// to[i] = the sum over all images of their code number i.
template <class In>
void sum_images(std::int64_t batch, std::int64_t size, const In* codes, std::int32_t* to) {
  constexpr std::int64_t kElements = 4096;
  parallel_ranges(size, kElements, [&](std::int64_t begin, std::int64_t end) {
    std::fill(to + begin, to + end, 0);
    for (std::int64_t n = 0; n < batch; ++n) {
      const In* image = codes + n * size;
      for (std::int64_t i = begin; i < end; ++i) to[i] += image[i];
    }
  });
}

template <class In>
class WeightPass {
 public:
  WeightPass(const ConvShape& s, const LeveledCodes& x, const LeveledCodes& dy, float* dweight)
      : s_(s),
        kernel_(active_kernels().matmul_codes.of<In>()),
        panels_(kernel_, s.out_channels),
        blocks_((s.in_channels + kernel_.max_rows[panels_.vectors] - 1) / kernel_.max_rows[panels_.vectors]),
        rows_(bands_of_taps(s.out_height(), s.stride_h, -s.pad_h, s.kernel_h, s.height)),
        columns_(bands_of_taps(s.out_width(), s.stride_w, -s.pad_w, s.kernel_w, s.width)),
        pieces_(pieces_of_sum(s)),
        x_(kernel_, s.batch, s.height * s.width * s.in_channels, x.codes),
        dy_(panels_, s, dy.codes),
        x_sums_(static_cast<std::size_t>(taps() * s.in_channels)),
        zero_(dy.levels[0].zero - kSignBit),
        scale_(dy.levels[0].step * x.levels[0].step),
        rest_(dy.levels[0].rest * x.levels[0].step),
        dweight_(dweight) {
    sum_windows(reinterpret_cast<const In*>(x.codes));
  }

  // A task sums for some input channels (a block) and some output channels (a panel) all taps over a part of the
  // pieces. There are several parts where blocks and panels are few.
  void run() const {
    constexpr std::int64_t kTasks = 16;
    const std::int64_t tiles = blocks_ * panels_.count, pieces = static_cast<std::int64_t>(pieces_.size());
    if (tiles == 0) return;
    const std::int64_t parts =
        std::clamp((kTasks + tiles - 1) / tiles, std::int64_t{1}, std::max(pieces, std::int64_t{1}));
    if (parts == 1)
      return for_all(tiles, [&](std::int64_t tile) {
        const Scratch<std::int64_t> sums(tile_size());
        sum_tile(tile, {0, pieces}, sums.data());
        write_tile(tile, sums.data());
      });
    const std::size_t size = tile_size();
    const Scratch<std::int64_t> sums(static_cast<std::size_t>(tiles * parts) * size);
    for_all(tiles * parts, [&](std::int64_t t) {
      sum_tile(t / parts, part_of(pieces, parts, t % parts), sums.data() + static_cast<std::size_t>(t) * size);
    });
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      std::int64_t* const all = sums.data() + static_cast<std::size_t>(tile * parts) * size;
      for (std::size_t i = size; i < size * static_cast<std::size_t>(parts); ++i) all[i % size] += all[i];
      write_tile(tile, all);
    }
  }

 private:
  std::int64_t taps() const { return s_.kernel_h * s_.kernel_w; }
  std::size_t tile_size() const {
    return static_cast<std::size_t>(taps() * kernel_.max_rows[panels_.vectors] * panels_.width);
  }
  // Input channels of a block.
  TaskRange channels(std::int64_t block) const { return part_of(s_.in_channels, blocks_, block); }
  const Band& row_band(std::int64_t tap) const { return rows_[static_cast<std::size_t>(tap / s_.kernel_w)]; }
  const Band& column_band(std::int64_t tap) const { return columns_[static_cast<std::size_t>(tap % s_.kernel_w)]; }
  // The pixel of x that a tap meets at an output.
  std::int64_t pixel(std::int64_t tap, std::int64_t oy, std::int64_t ox) const {
    return (oy * s_.stride_h - s_.pad_h + tap / s_.kernel_w) * s_.width + ox * s_.stride_w - s_.pad_w +
           tap % s_.kernel_w;
  }

  // f(task) for all tasks. Threads are not woken for less than a million products.
  template <class F>
  void for_all(std::int64_t tasks, F f) const {
    const std::int64_t products =
        s_.batch * s_.out_height() * s_.out_width() * taps() * s_.in_channels * s_.out_channels;
    const std::int64_t groups = std::clamp(products / direct::kProductsPerTask, std::int64_t{1}, tasks);
    parallel_for(groups, [&](std::int64_t group) {
      const TaskRange some = part_of(tasks, groups, group);
      for (std::int64_t task = some.begin; task < some.end; ++task) f(task);
    });
  }

  // X for all taps and input channels.
  void sum_windows(const In* codes) {
    const std::int64_t size = s_.height * s_.width * s_.in_channels;
    const Scratch<std::int32_t> images(static_cast<std::size_t>(size));
    sum_images(s_.batch, size, codes, images.data());
    for_all(taps(), [&](std::int64_t tap) {
      std::int64_t* to = x_sums_.data() + tap * s_.in_channels;
      std::fill_n(to, s_.in_channels, std::int64_t{0});
      for (std::int64_t oy = row_band(tap).begin; oy < row_band(tap).end; ++oy)
        for (std::int64_t ox = column_band(tap).begin; ox < column_band(tap).end; ++ox) {
          const std::int32_t* from = images.data() + pixel(tap, oy, ox) * s_.in_channels;
          for (std::int64_t c = 0; c < s_.in_channels; ++c) to[c] += from[c];
        }
    });
  }

  void sum_tile(std::int64_t tile, TaskRange pieces, std::int64_t* sums) const {
    std::fill_n(sums, tile_size(), std::int64_t{0});
    const Scratch<std::int32_t> of_piece(tile_size() / static_cast<std::size_t>(taps()));
    for (std::int64_t p = pieces.begin; p < pieces.end; ++p)
      for (std::int64_t tap = 0; tap < taps(); ++tap)
        add_piece(pieces_[static_cast<std::size_t>(p)], tap, tile, of_piece.data(), sums);
  }

  void add_piece(const Piece& piece, std::int64_t tap, std::int64_t tile, std::int32_t* sums,
                 std::int64_t* totals) const {
    const std::int64_t y = std::max(piece.rows.begin, row_band(tap).begin),
                       y_end = std::min(piece.rows.end, row_band(tap).end),
                       x = std::max(piece.columns.begin, column_band(tap).begin),
                       x_end = std::min(piece.columns.end, column_band(tap).end);
    if (y >= y_end || x >= x_end) return;
    const TaskRange in = channels(tile / panels_.count);
    const std::int64_t panel = tile % panels_.count, a_pixel = s_.in_channels * x_.row(),
                       b_pixel = steps_of(s_.batch) * dy_.step();
    const int rows = static_cast<int>(in.end - in.begin), columns = panels_.columns(panel);
    kernel_.tile({.a = x_.at(pixel(tap, y, x) * s_.in_channels + in.begin) + piece.steps.begin * kCodesPerStep,
                  .a_row = x_.row(),
                  .b = dy_.at(panel, y * s_.out_width() + x, piece.steps.begin),
                  .steps = {y_end - y, x_end - x, piece.steps.end - piece.steps.begin},
                  .a_step = {s_.stride_h * s_.width * a_pixel, s_.stride_w * a_pixel, kCodesPerStep},
                  .b_step = {s_.out_width() * b_pixel, b_pixel, dy_.step()},
                  .c = nullptr,
                  .c_row = columns,
                  .rows = rows,
                  .columns = columns,
                  .sums = sums});
    std::int64_t* const to = totals + tap * rows * columns;
    for (std::int64_t i = 0; i < std::int64_t{rows} * columns; ++i) to[i] += sums[i];
  }

  void write_tile(std::int64_t tile, const std::int64_t* sums) const {
    const TaskRange in = channels(tile / panels_.count);
    const std::int64_t panel = tile % panels_.count, columns = panels_.columns(panel);
    for (std::int64_t tap = 0; tap < taps(); ++tap)
      for (std::int64_t c = in.begin; c < in.end; ++c) {
        const std::int64_t x = x_sums_[static_cast<std::size_t>(tap * s_.in_channels + c)];
        for (std::int64_t j = 0; j < columns; ++j) {
          const std::int64_t sum = sums[(tap * (in.end - in.begin) + c - in.begin) * columns + j] - zero_ * x;
          dweight_[((panel * panels_.width + j) * taps() + tap) * s_.in_channels + c] =
              static_cast<float>(scale_ * static_cast<double>(sum) + rest_ * static_cast<double>(x));
        }
      }
  }

  const ConvShape& s_;
  const kernels::CodeProduct<In>& kernel_;
  const direct::Panels panels_;
  const std::int64_t blocks_;
  const std::vector<Band> rows_, columns_;  // the outputs that each tap meets
  const std::vector<Piece> pieces_;
  const ImagesInside<In> x_;
  const GradientPanels dy_;
  Scratch<std::int64_t> x_sums_;
  const std::int64_t zero_;
  const double scale_, rest_;
  float* const dweight_;
};

}  // namespace

bool backward_weight_on_codes(const ConvShape& s, const LeveledCodes& x, const LeveledCodes& dy) {
  constexpr std::int64_t kMostImages = std::int64_t{1} << 23;  // 255 of a code each fit into 32 bits
  return s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.batch <= kMostImages && !dy.is_signed &&
         dy.levels.size() == 1 && x.levels.size() == 1 && x.levels[0].zero == 0 && x.levels[0].rest == 0;
}

void conv2d_backward_weight_codes(const ConvShape& s, const LeveledCodes& x, const LeveledCodes& dy, float* dweight) {
  s.validate("conv2d_backward_weight_codes");
  check(backward_weight_on_codes(s, x, dy), "conv2d_backward_weight_codes: given ", dy.levels.size(),
        " grids of the gradient and ", x.levels.size(), " of the input, ", s.batch, " images, ", s.groups,
        " groups, expected one grid each, up to 2^23 images, neither groups nor dilation");
  if (x.is_signed)
    WeightPass<std::int8_t>(s, x, dy, dweight).run();
  else
    WeightPass<std::uint8_t>(s, x, dy, dweight).run();
}

}  // namespace coarsegrad
