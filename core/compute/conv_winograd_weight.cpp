// Backward weight: the algorithm is linear in the kernel, so its gradient runs through the transposed
// transforms,
//   dg = G^T (sum over tiles of (A dy A^T) .* (B^T d B)) G,
// one product over all tiles for each position.
#include <algorithm>
#include <atomic>

#include "core/base/memory.h"
#include "core/compute/conv_direct.h"
#include "core/compute/conv_winograd.h"
#include "core/compute/conv_winograd_tiles.h"

namespace coarsegrad::winograd {
namespace {

// dy's outputs of each tile, transformed.
void transform_gradients(const Tiling& tiling, std::int64_t images, const float* dy, std::int64_t channels,
                         const Matrices& to, float* out) {
  const std::int64_t row = tiling.columns * channels;
  for_each_tile(tiling, images, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t tile) {
    const std::int64_t first_y = y * tiling.out(), first_x = x * tiling.out();
    transforms(tiling.taps)
        .output_gradient(into(to, tile, out, dy + (n * tiling.rows + first_y) * row + first_x * channels, row, channels,
                              inside(first_y, tiling.out(), tiling.rows),
                              inside(first_x, tiling.out(), tiling.columns)));
  });
}

// sums(position) (outputs x inputs) = or += the products of one position, for a range of outputs.
void multiply(const Matrices& dy_tiles, const float* dy, const Matrices& x_tiles, const float* x, TaskRange outputs,
              std::int64_t inputs, bool accumulate, float* sums) {
  const std::int64_t width = 2 * matmul().lanes, most = matmul().max_rows[2], count = outputs.end - outputs.begin;
  const std::int64_t parts = (count + most - 1) / most;
  for (std::int64_t first = 0; first < inputs; first += width) {
    const auto columns = static_cast<int>(std::min(width, inputs - first));
    for (std::int64_t part = 0; part < parts; ++part) {
      const TaskRange local = part_of(count, parts, part);
      const std::int64_t row = outputs.begin + local.begin;
      const int rows = static_cast<int>(local.end - local.begin);
      matmul().tile({.a = dy + row,
                     .a_row = 1,
                     .b = x + first,
                     .steps = {1, 1, dy_tiles.tiles},
                     .a_step = {0, 0, dy_tiles.pitch},
                     .b_step = {0, 0, x_tiles.pitch},
                     .c = sums + row * inputs + first,
                     .c_row = inputs,
                     .rows = rows,
                     .columns = columns,
                     .accumulate = accumulate});
    }
  }
}

// dweight of the filters, from the sums of all positions; and whether all of it is finite.
bool transform_sums(std::int64_t taps, std::int64_t outputs, std::int64_t inputs, const float* sums,
                    std::int64_t position, float* dweight) {
  std::atomic<bool> finite = true;
  parallel_ranges(outputs, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      const bool these = transforms(taps).weight_gradient({.in = sums + o * inputs,
                                                           .in_row = kWinogradIn * position,
                                                           .in_column = position,
                                                           .row_begin = 0,
                                                           .row_end = kWinogradIn,
                                                           .column_begin = 0,
                                                           .column_end = kWinogradIn,
                                                           .out = dweight + o * taps * taps * inputs,
                                                           .out_row = taps * inputs,
                                                           .out_column = inputs,
                                                           .rows = static_cast<int>(taps),
                                                           .columns = static_cast<int>(taps),
                                                           .channels = inputs});
      if (!these) finite = false;
    }
  });
  return finite;
}

}  // namespace

void backward_weight(const ConvShape& s, Elements<float> x, Elements<float> dy, float* dweight) {
  constexpr std::int64_t kTiles = 192, kOutputs = 128;  // at a time; in a task
  const Tiling tiling = tiles_of_outputs(s);
  const std::int64_t groups = std::clamp(s.batch * tiling.tiles() / kTiles, std::int64_t{1}, s.batch);
  const std::int64_t most = (s.batch + groups - 1) / groups;
  const Matrices largest_x(most * tiling.tiles(), s.in_channels), largest_dy(most * tiling.tiles(), s.out_channels);
  const std::int64_t position = s.out_channels * s.in_channels + Matrices::kLine;
  const Scratch<float> x_matrices(largest_x.size()), dy_matrices(largest_dy.size());
  const Scratch<float> sums(static_cast<std::size_t>(kPositions * position));
  const std::int64_t in_image = s.height * s.width * s.in_channels,
                     out_image = tiling.rows * tiling.columns * s.out_channels;
  const std::int64_t pieces = (s.out_channels + kOutputs - 1) / kOutputs;
  for (std::int64_t group = 0; group < groups; ++group) {
    const TaskRange images = part_of(s.batch, groups, group);
    const std::int64_t count = images.end - images.begin;
    const Matrices x_tiles(count * tiling.tiles(), s.in_channels), dy_tiles(count * tiling.tiles(), s.out_channels);
    parallel_for(count, [&](std::int64_t n) {
      const std::int64_t image = images.begin + n, tile = n * tiling.tiles();
      const ElementWindow<float> pixels(x, image * in_image, (image + 1) * in_image),
          gradients(dy, image * out_image, (image + 1) * out_image);
      transform_images(tiling, 1, pixels.data(), s.in_channels, x_tiles, x_matrices.data() + tile * x_tiles.pitch);
      transform_gradients(tiling, 1, gradients.data(), s.out_channels, dy_tiles,
                          dy_matrices.data() + tile * dy_tiles.pitch);
    });
    parallel_for(kPositions * pieces, [&](std::int64_t task) {
      const std::int64_t p = task / pieces;
      multiply(dy_tiles, dy_matrices.data() + p * dy_tiles.position, x_tiles, x_matrices.data() + p * x_tiles.position,
               part_of(s.out_channels, pieces, task % pieces), s.in_channels, group > 0, sums.data() + p * position);
    });
  }
  if (!transform_sums(tiling.taps, s.out_channels, s.in_channels, sums.data(), position, dweight))
    direct::backward_weight(s, x, dy, dweight);
}

}  // namespace coarsegrad::winograd
