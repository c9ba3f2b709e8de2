#pragma once
// Transforms of Winograd's minimal filtering (Lavin and Gray, arXiv 1509.09308, section 4): the correlation of a 6x6 tile
// d with a k x k kernel g gives m x m outputs, m = 7 - k, from 36 products,
//   y = A^T ((G g G^T) .* (B^T d B)) A.
// F(4x4, 3x3) has 36 instead of 144 products, F(2x2, 5x5) instead of 100. Each transform is X -> L X L^T; its transpose
// carries gradients back.
#include <cstdint>

namespace coarsegrad::kernels {

/// Extent of a tile's input in pixels, the same on both axes, whatever the kernel.
inline constexpr int kWinogradIn = 6;
/// Extent of a tile's output in pixels, for kernels of k x k taps.
constexpr std::int64_t winograd_out(std::int64_t k) { return kWinogradIn + 1 - k; }

/// The points at which the transforms evaluate polynomials; a sixth one is infinity.
inline constexpr float kWinogradPoints[] = {0, 1, -1, 2, -2};
/// x to the power of n >= 0.
constexpr float winograd_power(float x, int n) { return n == 0 ? 1 : x * winograd_power(x, n - 1); }

/// L = B^T, of the input, for every kernel.
struct WinogradInput {
  static constexpr int kRows = 6,  ///< of L
      kColumns = 6;                ///< of L
  /// L, row by row.
  static constexpr float kMatrix[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                          {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
  /// L(i, k).
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
/// L = A^T, of the output: powers of the points.
template <int kKernel>
struct WinogradOutput {
  static constexpr int kRows = winograd_out(kKernel),  ///< of L
      kColumns = 6;                                    ///< of L
  /// L(i, k).
  static constexpr float at(int i, int k) {
    return k < kColumns - 1 ? winograd_power(kWinogradPoints[k], i) : static_cast<float>(i == kRows - 1);
  }
};
/// L = G, of the kernel: powers of the points, over the product of the distances from a point to the others.
template <int kKernel>
struct WinogradWeight {
  static constexpr int kRows = 6,  ///< of L
      kColumns = kKernel;          ///< of L
  /// What powers of the points are divided by.
  static constexpr float kDistances[5] = {4, -6, -6, 24, 24};
  /// L(i, k).
  static constexpr float at(int i, int k) {
    return i < kRows - 1 ? winograd_power(kWinogradPoints[i], k) / kDistances[i]
                         : static_cast<float>(k == kColumns - 1);
  }
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

/// The transforms of kernels of k x k taps, tile by tile. The two that end a convolution return whether all that they wrote
/// is finite, the bias aside. A pixel, tap or gradient that is not finite makes every result not finite that depends on
/// it: where both are true, nothing has spread and nothing has overflowed.
struct WinogradFilter {
  /// k x k to 6x6, G g G^T: the kernel.
  void (*weight)(const WinogradTile& tile);
  /// m x m to 6x6, A dy A^T: the gradient of the output.
  void (*output_gradient)(const WinogradTile& tile);
  /// 6x6 to m x m, A^T m A: ends a convolution.
  bool (*output)(const WinogradTile& tile);
  /// 6x6 to k x k, G^T du G: ends the gradient of the kernel.
  bool (*weight_gradient)(const WinogradTile& tile);
};

/// All of them.
struct Winograd {
  /// 6x6 to 6x6, B^T d B: the image.
  void (*input)(const WinogradTile& tile);
  WinogradFilter kernel3,  ///< F(4x4, 3x3)
      kernel5;             ///< F(2x2, 5x5)
};

}  // namespace coarsegrad::kernels
