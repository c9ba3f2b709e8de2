#pragma once
// Transforms of Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308, section 4.3): a
// 3x3 correlation of a 6x6 tile d with g gives 4x4 outputs from 36 products instead of 144,
//   y = A^T ((G g G^T) .* (B^T d B)) A.
// Each transform is X -> L X L^T; its transpose carries gradients back.
#include <cstdint>

namespace coarsegrad::kernels {

/// Extents of a tile's input, output and kernel, in pixels, the same on both axes.
inline constexpr int kWinogradIn = 6, kWinogradOut = 4, kWinogradKernel = 3;

/// L = B^T, of the input; the points of all three transforms are 0, 1, -1, 2, -2 and infinity.
struct WinogradInput {
  static constexpr int kRows = 6,  ///< of L
      kColumns = 6;                ///< of L
  /// L, row by row.
  static constexpr float kMatrix[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                          {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
  /// L(i, k).
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
/// L = A^T, of the output.
struct WinogradOutput {
  static constexpr int kRows = 4,  ///< of L
      kColumns = 6;                ///< of L
  /// L, row by row.
  static constexpr float kMatrix[4][6] = {
      {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
  /// L(i, k).
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
/// L = G, of the kernel.
struct WinogradWeight {
  static constexpr int kRows = 6,  ///< of L
      kColumns = 3;                ///< of L
  /// L, row by row.
  static constexpr float kMatrix[6][3] = {{1 / 4.f, 0, 0},
                                          {-1 / 6.f, -1 / 6.f, -1 / 6.f},
                                          {-1 / 6.f, 1 / 6.f, -1 / 6.f},
                                          {1 / 24.f, 1 / 12.f, 1 / 6.f},
                                          {1 / 24.f, -1 / 12.f, 1 / 6.f},
                                          {0, 0, 1}};
  /// L(i, k).
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
/// The transpose of another transform, which carries its gradients back.
template <class Transform>
struct Transposed {
  static constexpr int kRows = Transform::kColumns,  ///< of L
      kColumns = Transform::kRows;                   ///< of L
  /// L(i, k).
  static constexpr float at(int i, int k) { return Transform::at(k, i); }
};

/// One tile, for all channels: out(i, j, c) = sum over k, l of L(i, k) L(j, l) in(k, l, c) + (bias[c] or 0). Distances
/// are in elements; the channels of a pixel are neighbours. What of the input is not read counts as 0.
struct WinogradTile {
  const float* in;              ///< in(0, 0, 0), also where that is not read
  std::int64_t in_row,          ///< distance of rows
      in_column;                ///< distance of columns
  int row_begin,                ///< first row that is read
      row_end,                  ///< behind the last one
      column_begin,             ///< first column that is read
      column_end;               ///< behind the last one
  float* out;                   ///< out(0, 0, 0)
  std::int64_t out_row,         ///< distance of rows
      out_column;               ///< distance of columns
  int rows,                     ///< of the output that are written, the first ones
      columns;                  ///< of the output that are written, the first ones
  std::int64_t channels;        ///< >= 0
  const float* bias = nullptr;  ///< one value per channel, or null
};

/// The transforms, tile by tile. The two that end a convolution return whether all that they wrote is finite, the bias
/// aside. A pixel, tap or gradient that is not finite makes every result not finite that depends on it: where both are
/// true, nothing has spread and nothing has overflowed.
struct Winograd {
  /// 6x6 to 6x6, B^T d B: the image.
  void (*input)(const WinogradTile& tile);
  /// 3x3 to 6x6, G g G^T: the kernel.
  void (*weight)(const WinogradTile& tile);
  /// 4x4 to 6x6, A dy A^T: the gradient of the output.
  void (*output_gradient)(const WinogradTile& tile);
  /// 6x6 to 4x4, A^T m A: ends a convolution.
  bool (*output)(const WinogradTile& tile);
  /// 6x6 to 3x3, G^T du G: ends the gradient of the kernel.
  bool (*weight_gradient)(const WinogradTile& tile);
};

}  // namespace coarsegrad::kernels
