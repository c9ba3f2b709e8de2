#pragma once
// Products of integer codes: what the convolutions and dense layers of quantized nets are made of in the
// forward pass. Exact: 32-bit sums, scaled to float once.
#include <cstdint>

namespace coarsegrad::kernels {

/// Four codes of A and of B, neighbours in depth, are multiplied and added in one step.
inline constexpr int kCodesPerStep = 4;
/// Sums of so many products of an unsigned and a signed byte stay inside 32 bits: 255 * 128 * 65793 < 2^31.
inline constexpr std::int64_t kMaxCodeDepth = 65793;

/// A block of C held in registers while products are summed over three nested loops.
///   c[i * c_row + j] = scale[j] * (the sum over s0 < steps[0], s1 < steps[1], s2 < steps[2], k < 4 of
///                                  a(i, s)[k] * b(s)[4 j + k]) + (bias[j] or 0)
///   a(i, s) = a + i * a_row + s0 * a_step[0] + s1 * a_step[1] + s2 * a_step[2], b(s) likewise, in bytes.
/// The sum is exact as long as it has at most kMaxCodeDepth products; it is rounded to float (above 2^24),
/// then one fused multiply-add follows. B is read in whole vectors, as pack() leaves it.
struct CodeTile {
  const std::uint8_t* a;         ///< a(0, 0)
  std::int64_t a_row;            ///< bytes from row to row of A
  const std::int8_t* b;          ///< b(0), packed by pack()
  std::int64_t steps[3],         ///< lengths of the loops, the outermost first
      a_step[3],                 ///< bytes in A, of each loop
      b_step[3];                 ///< bytes in B, of each loop
  float* c;                      ///< c(0, 0)
  std::int64_t c_row;            ///< elements from row to row of C
  int rows,                      ///< 1 to max_rows[ceil(columns / lanes)]
      columns;                   ///< >= 1
  const float* scale = nullptr;  ///< one value per column; not null when tile() is called
  const float* bias = nullptr;   ///< one value per column, or null
};

/// Products of matrices of codes, tile by tile.
struct MatmulCodes {
  using Tile = CodeTile;                 ///< what tile() takes, for loops that are templates over the family
  static constexpr int kMaxVectors = 4;  ///< most vectors in a row of a tile
  /// Columns of C in a vector.
  int lanes;
  /// Most rows of a tile that is v vectors wide, v from 1 to kMaxVectors; 0 where there is no such tile.
  int max_rows[kMaxVectors + 1];
  /// Computes one tile.
  void (*tile)(const CodeTile& tile);
  /// B of one panel: to[(s * width + j) * 4 + k] = from[j * from_row + 4 s + k] for j < columns, s < steps,
  /// k < 4, and 0 for columns <= j < width; width is a multiple of lanes.
  void (*pack)(int columns, int width, std::int64_t steps, const std::int8_t* from, std::int64_t from_row,
               std::int8_t* to);
};

}  // namespace coarsegrad::kernels
