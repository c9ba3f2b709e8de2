// Backward weight: dweight(o, tap, c) sums x(c) dy(o) over images and pixels. Two images are a step of the kernels,
// whatever the taps and the stride: a row of A are the images of one channel at one pixel of x, a column of B those of one
// output channel of dy. Rows of pixels are turned into this order as they are needed, and stay in the second-level cache
// while all taps meet them.
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/conv_bands.h"
#include "core/compute/conv_bfloat16_pixels.h"
#include "core/compute/conv_correlate.h"

namespace coarsegrad::bfloat16 {
namespace {

constexpr std::int64_t kPerStep = kernels::kBfloat16PerStep;

std::int64_t steps_of(std::int64_t images) { return (images + kPerStep - 1) / kPerStep; }

// Calls f(step, two images' elements in turn) for the elements [begin, begin + n) of each of `images`.
template <class F>
void for_each_step(const Bfloat16Factor& factor, TaskRange images, std::int64_t image, std::int64_t begin,
                   std::int64_t n, F&& f) {
  const Scratch<Bfloat16> two(static_cast<std::size_t>(kPerStep * n)), together(static_cast<std::size_t>(kPerStep * n));
  for (std::int64_t i = images.begin; i < images.end; i += kPerStep) {
    const bool both = i + 1 < images.end;
    const Bfloat16* rows[kPerStep] = {two.data(), both ? two.data() + n : nullptr};
    for (std::int64_t k = 0; k < (both ? kPerStep : 1); ++k) {
      const std::int64_t first = (i + k) * image + begin;
      if (factor.kept())
        rows[k] = factor.kept() + first;
      else
        factor.read(first, first + n, two.data() + k * n);
    }
    in_turn(n, rows[0], rows[1], together.data());
    f((i - images.begin) / kPerStep, together.data());
  }
}

// How the sum is cut: into pieces of images and of rows of outputs, groups of which have sums of their own, and into
// ranges of panels of output channels.
struct Cut {
  std::int64_t image_pieces, row_pieces, groups, panel_ranges;

  Cut(const ConvShape& s, const direct::Panels& panels) {
    constexpr std::int64_t kImages = 32, kTasks = 16, kMaxSums = std::int64_t{1} << 18;
    const std::int64_t sums = s.kernel_h * s.kernel_w * s.in_channels * panels.count * panels.width;
    image_pieces = std::max((s.batch + kImages - 1) / kImages, std::int64_t{1});
    row_pieces = std::clamp((kTasks / 2 + image_pieces - 1) / image_pieces, std::int64_t{1},
                            std::max(s.out_height() / 4, std::int64_t{1}));
    const std::int64_t products = s.batch * s.out_height() * s.out_width() * sums;
    const std::int64_t most = std::min({kTasks, pieces(), products / direct::kProductsPerTask});
    groups = std::clamp(kMaxSums / std::max(sums, std::int64_t{1}), std::int64_t{1}, std::max(most, std::int64_t{1}));
    panel_ranges = std::clamp(std::min(kTasks / 2, products / direct::kProductsPerTask) / groups, std::int64_t{1},
                              std::max(panels.count, std::int64_t{1}));
  }
  std::int64_t pieces() const { return image_pieces * row_pieces; }
};

class WeightGradient {
 public:
  WeightGradient(const ConvShape& shape, const Bfloat16Factor& x, const Bfloat16Factor& dy)
      : s_(shape),
        x_(x),
        dy_(dy),
        panels_(kernel(), s_.out_channels),
        cut_(s_, panels_),
        columns_(bands_of_taps(s_.out_width(), s_.stride_w, -s_.pad_w, s_.kernel_w, s_.width)) {}

  void compute(float* dweight) const {
    const Scratch<float> sums(static_cast<std::size_t>(cut_.groups * all_sums()));
    parallel_for(cut_.groups * cut_.panel_ranges, [&](std::int64_t task) {
      const std::int64_t group = task / cut_.panel_ranges;
      const TaskRange panels = part_of(panels_.count, cut_.panel_ranges, task % cut_.panel_ranges),
                      pieces = part_of(cut_.pieces(), cut_.groups, group);
      float* const of_group = sums.data() + group * all_sums();
      std::fill(of_group + panels.begin * panel_sums(), of_group + panels.end * panel_sums(), 0.f);
      for (std::int64_t piece = pieces.begin; piece < pieces.end; ++piece)
        add_piece(part_of(s_.batch, cut_.image_pieces, piece / cut_.row_pieces),
                  part_of(s_.out_height(), cut_.row_pieces, piece % cut_.row_pieces), panels, of_group);
    });
    add_up(sums.data(), dweight);
  }

 private:
  // Sums lie as [panel][tap][input channel][output channel of the panel].
  std::int64_t taps() const { return s_.kernel_h * s_.kernel_w; }
  std::int64_t panel_sums() const { return taps() * s_.in_channels * panels_.width; }
  std::int64_t all_sums() const { return panels_.count * panel_sums(); }
  std::int64_t x_row() const { return s_.width * s_.in_channels; }
  std::int64_t dy_row() const { return s_.out_width() * s_.out_channels; }

  void add_piece(TaskRange images, TaskRange rows, TaskRange panels, float* sums) const {
    const std::int64_t steps = steps_of(images.end - images.begin), lanes = kernel().lanes,
                       x_step = (steps + lanes - 1) / lanes * lanes * kPerStep;
    // The rows of x that an output row meets, each at its number modulo the height of the kernel.
    const Scratch<Bfloat16> x(static_cast<std::size_t>(s_.kernel_h * x_row() * x_step));
    const Scratch<Bfloat16> dy(
        static_cast<std::size_t>((panels.end - panels.begin) * s_.out_width() * steps * panels_.width * kPerStep));
    std::int64_t next = 0;  // row of x
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      const std::int64_t first = y * s_.stride_h - s_.pad_h, begin = std::max(first, std::int64_t{0}),
                         end = std::min(first + s_.kernel_h, s_.height);
      for (next = std::max(next, begin); next < end; ++next)
        turn_x(images, next, steps, x_step, x.data() + next % s_.kernel_h * x_row() * x_step);
      turn_dy(images, y, panels, steps, dy.data());
      for (std::int64_t row = begin; row < end; ++row)
        add_row(x.data() + row % s_.kernel_h * x_row() * x_step, x_step, dy.data(), steps, row - first, panels, sums);
    }
  }

  // to[element of the row][image].
  void turn_x(TaskRange images, std::int64_t row, std::int64_t steps, std::int64_t x_step, Bfloat16* to) const {
    const Scratch<Bfloat16> together(static_cast<std::size_t>(steps * kPerStep * x_row()));
    for_each_step(x_, images, s_.height * x_row(), row * x_row(), x_row(), [&](std::int64_t step, const Bfloat16* two) {
      std::copy_n(two, kPerStep * x_row(), together.data() + step * kPerStep * x_row());
    });
    pack_rows(steps, x_step / kPerStep, x_row(), together.data(), to);
  }

  // to[panel][pixel][step][output channel of the panel][image of the step].
  void turn_dy(TaskRange images, std::int64_t row, TaskRange panels, std::int64_t steps, Bfloat16* to) const {
    const std::int64_t width = kPerStep * panels_.width;
    for_each_step(
        dy_, images, s_.out_height() * dy_row(), row * dy_row(), dy_row(), [&](std::int64_t step, const Bfloat16* two) {
          for (std::int64_t panel = panels.begin; panel < panels.end; ++panel)
            for (std::int64_t pixel = 0; pixel < s_.out_width(); ++pixel) {
              const std::int64_t n = kPerStep * panels_.columns(panel);
              Bfloat16* const place = to + (((panel - panels.begin) * s_.out_width() + pixel) * steps + step) * width;
              std::copy_n(two + kPerStep * (pixel * s_.out_channels + panel * panels_.width), n, place);
              std::fill(place + n, place + width, Bfloat16{});
            }
        });
  }

  // The products of a row of x and the row of dy that meets it with the kernel's row `ky`.
  void add_row(const Bfloat16* x, std::int64_t x_step, const Bfloat16* dy, std::int64_t steps, std::int64_t ky,
               TaskRange panels, float* sums) const {
    const std::int64_t most = kernel().max_rows[panels_.vectors], blocks = (s_.in_channels + most - 1) / most;
    const std::int64_t width = kPerStep * panels_.width;
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel)
      for (const Band& band : columns_) {
        if (band.begin == band.end) continue;
        const std::int64_t pixel = band.begin * s_.stride_w - s_.pad_w + band.first_tap;
        float* const c =
            sums + panel * panel_sums() + (ky * s_.kernel_w + band.first_tap) * s_.in_channels * panels_.width;
        for (std::int64_t block = 0; block < blocks; ++block) {
          const TaskRange channels = part_of(s_.in_channels, blocks, block);
          kernel().tile({.a = x + (pixel * s_.in_channels + channels.begin) * x_step,
                         .a_row = x_step,
                         .b = dy + ((panel - panels.begin) * s_.out_width() + band.begin) * steps * width,
                         .steps = {1, band.end - band.begin, steps},
                         .a_step = {0, s_.stride_w * s_.in_channels * x_step, kPerStep},
                         .b_step = {0, steps * width, width},
                         .c = c + channels.begin * panels_.width,
                         .c_row = panels_.width,
                         .rows = static_cast<int>(channels.end - channels.begin),
                         .columns = panels_.columns(panel),
                         .accumulate = true});
        }
      }
  }

  // dweight = the sums of all groups, in their order.
  void add_up(const float* sums, float* dweight) const {
    parallel_ranges(
        s_.out_channels, std::max(kTaskElements / std::max(taps() * s_.in_channels, std::int64_t{1}), std::int64_t{1}),
        [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t o = begin; o < end; ++o)
            for (std::int64_t i = 0; i < taps() * s_.in_channels; ++i) {
              const float* sum = sums + o / panels_.width * panel_sums() + i * panels_.width + o % panels_.width;
              float total = sum[0];
              for (std::int64_t group = 1; group < cut_.groups; ++group) total += sum[group * all_sums()];
              dweight[o * taps() * s_.in_channels + i] = total;
            }
        });
  }

  const ConvShape& s_;
  const Bfloat16Factor &x_, &dy_;
  const direct::Panels panels_;
  const Cut cut_;
  const std::vector<Band> columns_;  // the outputs that each tap of a row meets
};

}  // namespace

void backward_weight(const ConvShape& s, const Bfloat16Factor& x, const Bfloat16Factor& dy, float* dweight) {
  WeightGradient(s, x, dy).compute(dweight);
}

}  // namespace coarsegrad::bfloat16
