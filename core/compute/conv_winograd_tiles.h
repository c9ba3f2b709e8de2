#pragma once
// Images as tiles of Winograd's algorithm: what its convolutions, forward and backward, share.
#include <algorithm>
#include <cstdint>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::winograd {

using kernels::kWinogradIn, kernels::kWinogradKernel, kernels::kWinogradOut;
inline constexpr std::int64_t kPositions = kWinogradIn * kWinogradIn;  // the products of a tile

inline const kernels::Matmul<float>& matmul() { return real_kernels<float>().matmul; }
inline const kernels::Winograd& transforms() { return active_kernels().winograd; }

inline std::int64_t tiles_of(std::int64_t outputs) { return (outputs + kWinogradOut - 1) / kWinogradOut; }

/// Images cut into tiles of what a convolution puts out: tile (y, x) reads the 6x6 pixels from (4 y - pad_h,
/// 4 x - pad_w) on.
struct Grid {
  std::int64_t height, width, pad_h, pad_w, rows, columns;  // of the input; of the output

  std::int64_t down() const { return tiles_of(rows); }
  std::int64_t across() const { return tiles_of(columns); }
  std::int64_t tiles() const { return down() * across(); }
};

/// Transformed tiles of some images, as kPositions matrices of tiles x channels. Distances that are powers
/// of two would make rows, and positions, evict each other.
struct Matrices {
  static constexpr std::int64_t kLine = 16;
  std::int64_t tiles, pitch, position;

  Matrices(std::int64_t tile_count, std::int64_t channels)
      : tiles(tile_count), pitch((channels + kLine - 1) / kLine * kLine + kLine), position(tiles * pitch + kLine) {}
  std::size_t size() const { return static_cast<std::size_t>(kPositions * position); }
};

/// Part of a tile of `extent` elements that starts at `first` and lies in [0, end).
inline TaskRange inside(std::int64_t first, std::int64_t extent, std::int64_t end) {
  const std::int64_t begin = std::clamp(-first, std::int64_t{0}, extent);
  return {begin, std::clamp(end - first, begin, extent)};
}

/// f(image, y, x, tile) for all tiles of `images` images.
template <class F>
void for_each_tile(const Grid& grid, std::int64_t images, F&& f) {
  std::int64_t tile = 0;
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t y = 0; y < grid.down(); ++y)
      for (std::int64_t x = 0; x < grid.across(); ++x) f(n, y, x, tile++);
}

/// The 6x6 pixels that the outputs of a tile read, transformed.
inline void transform_images(const Grid& grid, std::int64_t images, const float* in, std::int64_t channels,
                             const Matrices& to, float* out) {
  const std::int64_t row = grid.width * channels;
  for_each_tile(grid, images, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t tile) {
    const std::int64_t first_y = y * kWinogradOut - grid.pad_h, first_x = x * kWinogradOut - grid.pad_w;
    const TaskRange rows = inside(first_y, kWinogradIn, grid.height),
                    columns = inside(first_x, kWinogradIn, grid.width);
    transforms().input({.in = in + n * grid.height * row + first_y * row + first_x * channels,
                        .in_row = row,
                        .in_column = channels,
                        .row_begin = static_cast<int>(rows.begin),
                        .row_end = static_cast<int>(rows.end),
                        .column_begin = static_cast<int>(columns.begin),
                        .column_end = static_cast<int>(columns.end),
                        .out = out + tile * to.pitch,
                        .out_row = kWinogradIn * to.position,
                        .out_column = to.position,
                        .rows = kWinogradIn,
                        .columns = kWinogradIn,
                        .channels = channels});
  });
}

}  // namespace coarsegrad::winograd
