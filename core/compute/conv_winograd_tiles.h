#pragma once
// Images as tiles of Winograd's algorithm: what its convolutions, forward and backward, share.
#include <algorithm>
#include <cstdint>

#include "core/base/parallel.h"
#include "core/compute/conv.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::winograd {

using kernels::kWinogradIn, kernels::winograd_out;
/// Elements of a transformed tile, each of which is a matrix product of its own.
inline constexpr std::int64_t kPositions = kWinogradIn * kWinogradIn;

/// Kernels of the table in use.
inline const kernels::Matmul<float>& matmul() { return real_kernels<float>().matmul; }
inline const kernels::Winograd& transforms() { return active_kernels().winograd; }
/// Those for kernels of k x k taps, k = 3 or 5.
inline const kernels::WinogradFilter& transforms(std::int64_t k) {
  return k == 3 ? transforms().kernel3 : transforms().kernel5;
}

/// Images cut into tiles of m x m outputs: tile (y, x) reads the 6x6 pixels from (m y - pad_h, m x - pad_w) on.
struct Tiling {
  std::int64_t height,  ///< pixels of the input from top to bottom
      width,            ///< pixels of the input from left to right
      pad_h,            ///< rows of padding above
      pad_w,            ///< columns of padding on the left
      rows,             ///< pixels of the output from top to bottom
      columns,          ///< pixels of the output from left to right
      taps;             ///< of the kernel along either axis

  /// Outputs of a tile along either axis.
  std::int64_t out() const { return winograd_out(taps); }
  /// Tiles from top to bottom.
  std::int64_t down() const { return (rows + out() - 1) / out(); }
  /// Tiles from left to right.
  std::int64_t across() const { return (columns + out() - 1) / out(); }
  /// Tiles of an image.
  std::int64_t tiles() const { return down() * across(); }
};

/// The tiles of y, in the forward pass and for the gradient with respect to the weight.
inline Tiling tiles_of_outputs(const ConvShape& s) {
  return {s.height, s.width, s.pad_h, s.pad_w, s.out_height(), s.out_width(), s.kernel_h};
}
/// The tiles of dx, which is dy correlated with the kernel turned round.
inline Tiling tiles_of_inputs(const ConvShape& s) {
  return {s.out_height(), s.out_width(), s.kernel_h - 1 - s.pad_h, s.kernel_w - 1 - s.pad_w, s.height,
          s.width,        s.kernel_h};
}

/// The layout of the transformed tiles of some images: kPositions matrices of tiles x channels, tile by tile. Distances
/// that are powers of two would make rows, and positions, evict each other.
struct Matrices {
  /// Floats of a cache line.
  static constexpr std::int64_t kLine = 16;
  std::int64_t tiles,  ///< rows of each matrix
      pitch,           ///< elements from tile to tile
      position;        ///< elements from matrix to matrix

  /// The layout of `tile_count` tiles, those of all images together.
  Matrices(std::int64_t tile_count, std::int64_t channels)
      : tiles(tile_count), pitch((channels + kLine - 1) / kLine * kLine + kLine), position(tiles * pitch + kLine) {}
  /// Elements of all matrices together.
  std::size_t size() const { return static_cast<std::size_t>(kPositions * position); }
};

/// The part of a tile of `extent` elements that starts at `first` and lies in [0, end).
inline TaskRange inside(std::int64_t first, std::int64_t extent, std::int64_t end) {
  const std::int64_t begin = std::clamp(-first, std::int64_t{0}, extent);
  return {begin, std::clamp(end - first, begin, extent)};
}

/// Calls f(image, y, x, tile) for all tiles of `images` images.
template <class F>
void for_each_tile(const Tiling& tiling, std::int64_t images, F&& f) {
  std::int64_t tile = 0;
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t y = 0; y < tiling.down(); ++y)
      for (std::int64_t x = 0; x < tiling.across(); ++x) f(n, y, x, tile++);
}

/// A tile of an image whose rows are `row` elements long, at `in`, of which `rows` x `columns` lie inside the image:
/// transformed, it becomes tile `tile` of `to`, which lie at `out`.
inline kernels::WinogradTile into(const Matrices& to, std::int64_t tile, float* out, const float* in, std::int64_t row,
                                  std::int64_t channels, TaskRange rows, TaskRange columns) {
  return {.in = in,
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
          .channels = channels};
}

/// The 6x6 pixels that the outputs of a tile read, transformed.
inline void transform_images(const Tiling& tiling, std::int64_t images, const float* in, std::int64_t channels,
                             const Matrices& to, float* out) {
  const std::int64_t row = tiling.width * channels;
  for_each_tile(tiling, images, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t tile) {
    const std::int64_t first_y = y * tiling.out() - tiling.pad_h, first_x = x * tiling.out() - tiling.pad_w;
    transforms().input(into(to, tile, out, in + (n * tiling.height + first_y) * row + first_x * channels, row, channels,
                            inside(first_y, kWinogradIn, tiling.height), inside(first_x, kWinogradIn, tiling.width)));
  });
}

}  // namespace coarsegrad::winograd
