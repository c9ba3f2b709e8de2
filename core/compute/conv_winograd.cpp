#include "core/compute/conv_winograd.h"

#include <algorithm>

#include "core/base/memory.h"
#include "core/compute/conv_correlate.h"
#include "core/compute/conv_direct.h"
#include "core/compute/conv_winograd_tiles.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::winograd {
namespace {

// The sums of all positions, transformed into outputs; and whether those of each image are finite.
void transform_outputs(const Tiling& tiling, std::int64_t images, const Matrices& from, const float* in,
                       std::int64_t channels, const float* bias, float* out, bool* finite) {
  const std::int64_t row = tiling.columns * channels;
  std::fill_n(finite, images, true);
  for_each_tile(tiling, images, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t tile) {
    const std::int64_t first_y = y * tiling.out(), first_x = x * tiling.out();
    finite[n] &= transforms(tiling.taps)
                     .output({.in = in + tile * from.pitch,
                              .in_row = kWinogradIn * from.position,
                              .in_column = from.position,
                              .row_begin = 0,
                              .row_end = kWinogradIn,
                              .column_begin = 0,
                              .column_end = kWinogradIn,
                              .out = out + (n * tiling.rows + first_y) * row + first_x * channels,
                              .out_row = row,
                              .out_column = channels,
                              .rows = static_cast<int>(std::min(tiling.out(), tiling.rows - first_y)),
                              .columns = static_cast<int>(std::min(tiling.out(), tiling.columns - first_x)),
                              .channels = channels,
                              .bias = bias});
  });
}

// c(position) = a(position) (tiles x depth) times the panels of that position (depth x width each).
void multiply(const direct::Panels& panels, std::int64_t depth, const Matrices& from, const float* a,
              const float* packed, const Matrices& to, float* c) {
  const std::int64_t most = matmul().max_rows[panels.vectors], parts = (from.tiles + most - 1) / most;
  for (std::int64_t p = 0; p < kPositions; ++p)
    for (std::int64_t panel = 0; panel < panels.count; ++panel)
      for (std::int64_t part = 0; part < parts; ++part) {
        const TaskRange rows = part_of(from.tiles, parts, part);
        matmul().tile({.a = a + p * from.position + rows.begin * from.pitch,
                       .a_row = from.pitch,
                       .b = packed + (p * panels.count + panel) * depth * panels.width,
                       .steps = {1, 1, depth},
                       .a_step = {0, 0, 1},
                       .b_step = {0, 0, panels.width},
                       .c = c + p * to.position + rows.begin * to.pitch + panel * panels.width,
                       .c_row = to.pitch,
                       .rows = static_cast<int>(rows.end - rows.begin),
                       .columns = panels.columns(panel)});
      }
}

// Calls f for each of the longest ranges of images that are not finite.
template <class F>
void for_each_range_not_finite(const bool* finite, std::int64_t images, F&& f) {
  const bool* const end = finite + images;
  for (const bool* first = finite; (first = std::find(first, end, false)) != end;) {
    const bool* const last = std::find(first, end, true);
    f(TaskRange{first - finite, last - finite});
    first = last;
  }
}

// out = the correlation of `in` with transformed and packed kernels. A task takes whole images through all
// stages; its working space stays in the caches. Ranges of images whose outputs are not all finite go to `again`.
template <class Again>
void correlate(const Tiling& tiling, std::int64_t batch, const Elements<float>& in, std::int64_t channels,
               const direct::Panels& panels, const float* packed, const float* bias, const ElementSink<float>& out,
               Again&& again) {
  constexpr std::int64_t kTilesPerTask = 64;
  const std::int64_t tasks =
      std::clamp(batch * tiling.tiles() / kTilesPerTask, std::int64_t{1}, std::max(batch, std::int64_t{1}));
  const std::int64_t in_image = tiling.height * tiling.width * channels,
                     out_image = tiling.rows * tiling.columns * panels.channels;
  const Scratch<bool> finite(static_cast<std::size_t>(batch));
  parallel_for(tasks, [&](std::int64_t task) {
    const TaskRange images = part_of(batch, tasks, task);
    const std::int64_t count = images.end - images.begin;
    const Matrices from(count * tiling.tiles(), channels), to(count * tiling.tiles(), panels.channels);
    const Scratch<float> tiles(from.size()), sums(to.size());
    const ElementWindow<float> pixels(in, images.begin * in_image, images.end * in_image);
    const SinkWindow<float> outputs(out, images.begin * out_image, images.end * out_image);
    transform_images(tiling, count, pixels.data(), channels, from, tiles.data());
    multiply(panels, channels, from, tiles.data(), packed, to, sums.data());
    transform_outputs(tiling, count, to, sums.data(), panels.channels, bias, outputs.data(),
                      finite.data() + images.begin);
  });
  for_each_range_not_finite(finite.data(), batch, again);
}

// One filter and some of its channels, or its turned self, transformed.
void transform_kernel(std::int64_t taps, const float* first_tap, std::int64_t row, std::int64_t column,
                      std::int64_t channels, float* out, std::int64_t position) {
  transforms(taps).weight({.in = first_tap,
                           .in_row = row,
                           .in_column = column,
                           .row_begin = 0,
                           .row_end = static_cast<int>(taps),
                           .column_begin = 0,
                           .column_end = static_cast<int>(taps),
                           .out = out,
                           .out_row = kWinogradIn * position,
                           .out_column = position,
                           .rows = kWinogradIn,
                           .columns = kWinogradIn,
                           .channels = channels});
}

// Panels [position][panel][input channel][output channel].
void pack_forward(const ConvShape& s, const float* weight, const direct::Panels& panels, float* packed) {
  constexpr std::int64_t kChannels = 64;  // transformed at a time: a panel of them stays in the cache
  const std::int64_t taps = s.kernel_h, filter = taps * taps * s.in_channels,
                     pieces = (s.in_channels + kChannels - 1) / kChannels;
  parallel_for(panels.count * pieces, [&](std::int64_t task) {
    const std::int64_t panel = task / pieces, columns = panels.columns(panel);
    const TaskRange some = part_of(s.in_channels, pieces, task % pieces);
    const Matrices matrices(columns, some.end - some.begin);
    const Scratch<float> transformed(matrices.size());
    for (std::int64_t o = 0; o < columns; ++o)
      transform_kernel(taps, weight + (panel * panels.width + o) * filter + some.begin, taps * s.in_channels,
                       s.in_channels, some.end - some.begin, transformed.data() + o * matrices.pitch,
                       matrices.position);
    for (std::int64_t p = 0; p < kPositions; ++p)
      matmul().transpose(columns, some.end - some.begin, transformed.data() + p * matrices.position, matrices.pitch,
                         packed + ((p * panels.count + panel) * s.in_channels + some.begin) * panels.width,
                         panels.width);
  });
}

// Panels [position][panel][output channel][input channel] of the kernel turned round.
void pack_turned(const ConvShape& s, const float* weight, const direct::Panels& panels, float* packed) {
  const std::int64_t taps = s.kernel_h, position = panels.count * s.out_channels * panels.width;
  parallel_for(panels.count, [&](std::int64_t panel) {
    for (std::int64_t o = 0; o < s.out_channels; ++o)
      transform_kernel(taps, weight + ((o + 1) * taps * taps - 1) * s.in_channels + panel * panels.width,
                       -taps * s.in_channels, -s.in_channels, panels.columns(panel),
                       packed + (panel * s.out_channels + o) * panels.width, position);
  });
}

ConvShape with_batch(const ConvShape& s, TaskRange images) {
  ConvShape some = s;
  some.batch = images.end - images.begin;
  return some;
}

// Fewer tiles in a batch do not pay for the transforms of the kernel.
constexpr std::int64_t kTilesOfBatch = 64;

// Whether the algorithm computes this convolution, with a table that has its products.
bool applies(const ConvShape& s) {
  constexpr std::int64_t kChannels = 16;  // from which on transforms and products take less time than direct ones
  return matmul().lanes > 0 && (s.kernel_h == 3 || s.kernel_h == 5) && s.kernel_w == s.kernel_h && s.stride_h == 1 &&
         s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1 && s.pad_h < s.kernel_h &&
         s.pad_w < s.kernel_w && s.in_channels >= kChannels && s.out_channels >= kChannels;
}

// Whether its products are so much fewer than the direct ones that they are worth the transforms.
bool pays(const ConvShape& s, const Tiling& tiling) {
  // Products with padding count for the direct convolution only where it computes them: not at all.
  const auto products = [&](std::int64_t outputs, std::int64_t pad, std::int64_t inputs) {
    std::int64_t met = 0;
    for (const Band& band : bands(outputs, 1, -pad, s.kernel_h, inputs)) met += (band.end - band.begin) * band.taps();
    return met;
  };
  const std::int64_t direct = products(s.out_height(), s.pad_h, s.height) * products(s.out_width(), s.pad_w, s.width);
  return 5 * kPositions * tiling.tiles() <= 2 * direct;
}

Scratch<float> room_for(const direct::Panels& panels, std::int64_t depth) {
  return Scratch<float>(static_cast<std::size_t>(kPositions * panels.count * depth * panels.width));
}

}  // namespace

// The batch has no say here: an image is to have the same outputs in every one.
bool covers(const ConvShape& s) { return applies(s) && pays(s, tiles_of_outputs(s)); }

bool covers_data(const ConvShape& s) {
  return applies(s) && s.batch * tiles_of_inputs(s).tiles() >= kTilesOfBatch && pays(s, tiles_of_inputs(s));
}

bool covers_weight(const ConvShape& s) {
  constexpr std::int64_t kChannels = 32;  // with fewer the sums of 36 positions move more bytes than they save products
  return covers(s) && s.batch * tiles_of_outputs(s).tiles() >= kTilesOfBatch &&
         std::min(s.in_channels, s.out_channels) >= kChannels;
}

Scratch<float> packed(const ConvShape& s, const float* weight) {
  const direct::Panels panels(matmul(), s.out_channels);
  Scratch<float> to = room_for(panels, s.in_channels);
  pack_forward(s, weight, panels, to.data());
  return to;
}

void forward(const ConvShape& s, Elements<float> x, const float* weight, const float* packed_weight, const float* bias,
             ElementSink<float> y) {
  const direct::Panels panels(matmul(), s.out_channels);
  correlate(tiles_of_outputs(s), s.batch, x, s.in_channels, panels, packed_weight, bias, y, [&](TaskRange images) {
    const std::int64_t in_image = s.height * s.width * s.in_channels,
                       out_image = s.out_height() * s.out_width() * s.out_channels;
    const ElementWindow<float> pixels(x, images.begin * in_image, images.end * in_image);
    const SinkWindow<float> outputs(y, images.begin * out_image, images.end * out_image);
    direct::forward(with_batch(s, images), pixels.data(), direct::packed(s, weight).data(), bias, outputs.data());
  });
}

void backward_data(const ConvShape& s, Elements<float> dy, const float* weight, ElementSink<float> dx) {
  const direct::Panels panels(matmul(), s.in_channels);
  const Scratch<float> turned = room_for(panels, s.out_channels);
  pack_turned(s, weight, panels, turned.data());
  correlate(tiles_of_inputs(s), s.batch, dy, s.out_channels, panels, turned.data(), nullptr, dx, [&](TaskRange images) {
    const std::int64_t in_image = s.height * s.width * s.in_channels,
                       out_image = s.out_height() * s.out_width() * s.out_channels;
    const ElementWindow<float> gradients(dy, images.begin * out_image, images.end * out_image);
    const SinkWindow<float> pixels(dx, images.begin * in_image, images.end * in_image);
    direct::backward_data(with_batch(s, images), gradients.data(), weight, pixels.data());
  });
}

}  // namespace coarsegrad::winograd
