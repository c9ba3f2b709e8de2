#pragma once
// Transforms of Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308, section 4.3): a
// 3x3 correlation of a 6x6 tile d with g gives 4x4 outputs from 36 products instead of 144,
//   y = A^T ((G g G^T) .* (B^T d B)) A.
// Each transform is X -> L X L^T; its transpose carries gradients back.
#include <cstdint>

namespace coarsegrad::kernels {

/// Extents of a tile's input, output and kernel.
inline constexpr int kWinogradIn = 6, kWinogradOut = 4, kWinogradKernel = 3;

/// Points 0, 1, -1, 2, -2 and infinity. L(i, k) of the five transforms; the transposes are given as such.
struct WinogradInput {  // B^T
  static constexpr int kRows = 6, kColumns = 6;
  static constexpr float kMatrix[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                          {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
struct WinogradOutput {  // A^T
  static constexpr int kRows = 4, kColumns = 6;
  static constexpr float kMatrix[4][6] = {
      {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
struct WinogradWeight {  // G
  static constexpr int kRows = 6, kColumns = 3;
  static constexpr float kMatrix[6][3] = {{1 / 4.f, 0, 0},
                                          {-1 / 6.f, -1 / 6.f, -1 / 6.f},
                                          {-1 / 6.f, 1 / 6.f, -1 / 6.f},
                                          {1 / 24.f, 1 / 12.f, 1 / 6.f},
                                          {1 / 24.f, -1 / 12.f, 1 / 6.f},
                                          {0, 0, 1}};
  static constexpr float at(int i, int k) { return kMatrix[i][k]; }
};
template <class Transform>
struct Transposed {
  static constexpr int kRows = Transform::kColumns, kColumns = Transform::kRows;
  static constexpr float at(int i, int k) { return Transform::at(k, i); }
};

/// One tile, for all channels: out(i, j, c) = sum over k, l of L(i, k) L(j, l) in(k, l, c) + (bias[c] or 0).
struct WinogradTile {
  const float* in;
  std::int64_t in_row, in_column;                    // distances; channels are neighbours
  int row_begin, row_end, column_begin, column_end;  // the part of the input that is read; the rest is 0
  float* out;
  std::int64_t out_row, out_column;
  int rows, columns;  // of the output that are written, the first ones
  std::int64_t channels;
  const float* bias = nullptr;
};

struct Winograd {
  /// 6x6 to 6x6 (B^T d B), 3x3 to 6x6 (G g G^T), 4x4 to 6x6 (A dy A^T).
  void (*input)(const WinogradTile& tile);
  void (*weight)(const WinogradTile& tile);
  void (*output_gradient)(const WinogradTile& tile);
  /// What ends a convolution: 6x6 to 4x4 (A^T m A), 6x6 to 3x3 (G^T du G). Whether all that was written is
  /// finite, the bias aside. A pixel, tap or gradient that is not finite makes every result not finite that
  /// depends on it: where both are true, nothing has spread and nothing has overflowed.
  bool (*output)(const WinogradTile& tile);
  bool (*weight_gradient)(const WinogradTile& tile);
};

}  // namespace coarsegrad::kernels
