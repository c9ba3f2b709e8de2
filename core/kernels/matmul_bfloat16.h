#pragma once
// Products of bfloat16 with sums of floats: what convolutions of mixed precision (core/autocast.h) are made of on
// processors that multiply these faster than floats.
#include <cstdint>

#include "core/kernels/bfloat16.h"

namespace coarsegrad::kernels {

/// Two elements of A and of B, neighbours in depth, are multiplied and added in one step. They are four bytes, as four
/// codes are: CodeProduct::pack (matmul_codes.h) packs panels of B.
inline constexpr int kBfloat16PerStep = 2;

/// A block of C held in registers while products are summed over three nested loops, as in ProductTile (matmul.h). All
/// strides in elements.
///   c[i * c_row + j] = start(i, j) + sum over s0 < steps[0], s1 < steps[1], s2 < steps[2], k < 2 of
///                      a(i, s)[k] * b(s)[2 j + k]
///   a(i, s) = a + i * a_row + s0 * a_step[0] + s1 * a_step[1] + s2 * a_step[2], b(s) likewise
///   start   = c as it was with `accumulate`, else bias[j], else 0 without bias
/// Products are exact, sums are floats in an order that the table chooses: steps one after another, or those of even and
/// of odd places apart. Denormal elements, products and sums are 0. Two tables agree within depth * 2^-23 times the sum of
/// the magnitudes of the products and of `start`. B is read in whole vectors, as pack() leaves it.
struct Bfloat16Tile {
  const Bfloat16* a;            ///< a(0, 0)
  std::int64_t a_row;           ///< from row to row of A
  const Bfloat16* b;            ///< b(0)
  std::int64_t steps[3],        ///< lengths of the loops, the outermost first
      a_step[3],                ///< in A, of each loop; the innermost one's is kBfloat16PerStep
      b_step[3];                ///< in B, of each loop; the innermost one's is kBfloat16PerStep * pack()'s width
  float* c;                     ///< c(0, 0)
  std::int64_t c_row;           ///< from row to row of C
  int rows,                     ///< 1 to max_rows[ceil(columns / lanes)]
      columns;                  ///< >= 1
  const float* bias = nullptr;  ///< one value per column, or null
  bool accumulate = false;      ///< add to C as it is; the bias is not read then
};

/// Products of matrices of bfloat16, tile by tile.
struct MatmulBfloat16 {
  using Tile = Bfloat16Tile;             ///< what tile() takes, for loops that are templates over the family
  static constexpr int kMaxVectors = 4;  ///< most vectors in a row of a tile
  /// Columns of C in a vector. 0: floats are multiplied faster, and tile() is null or, in the scalar table, there to be
  /// compared with.
  int lanes;
  /// Most rows of a tile that is v vectors wide, v from 1 to kMaxVectors; 0 where there is no such tile.
  int max_rows[kMaxVectors + 1];
  /// Rows are computed in blocks of so many, and a block that is not full takes as long.
  int block;
  /// Computes one tile.
  void (*tile)(const Bfloat16Tile& tile);
};

}  // namespace coarsegrad::kernels
