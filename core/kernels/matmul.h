#pragma once
// Matrix product kernels: what gemm and the convolutions are made of.
#include <cstdint>

namespace coarsegrad::kernels {

/// A block of C held in registers while products are summed over three nested loops. All strides in elements.
///   c[i * c_row + j] = start(i, j) + sum over s0 < steps[0], s1 < steps[1], s2 < steps[2] of a(i, s) * b(s, j)
///   a(i, s) = a[i * a_row + s0 * a_step[0] + s1 * a_step[1] + s2 * a_step[2]]
///   b(s, j) = b[j         + s0 * b_step[0] + s1 * b_step[1] + s2 * b_step[2]]
///   start   = c as it was with `accumulate`, else bias[j], else 0 without bias
/// The vector tables add in the order of the loops, the last one fastest, with fused multiply-adds; the scalar one adds
/// some terms of the last loop among themselves first.
template <class T>
struct ProductTile {
  const T* a;               ///< a(0, 0)
  std::int64_t a_row;       ///< from row to row of A
  const T* b;               ///< b(0, 0)
  std::int64_t steps[3],    ///< lengths of the loops, the outermost first
      a_step[3],            ///< in A, of each loop
      b_step[3];            ///< in B, of each loop
  T* c;                     ///< c(0, 0)
  std::int64_t c_row;       ///< from row to row of C
  int rows,                 ///< 1 to max_rows[ceil(columns / lanes)]
      columns;              ///< >= 1
  const T* bias = nullptr;  ///< one value per column, or null
  bool accumulate = false;  ///< add to C as it is; the bias is not read then
  bool stream = false;      ///< write past the caches; columns are whole vectors and rows of C aligned to them
};

/// Products of real matrices, tile by tile.
template <class T>
struct Matmul {
  using Tile = ProductTile<T>;           ///< what tile() takes, for loops that are templates over the family
  static constexpr int kMaxVectors = 4;  ///< most vectors in a row of a tile
  /// Elements in a vector. 0: no vector kernels; tile() takes any rows and columns then.
  int lanes;
  /// Most rows of a tile that is v vectors wide, v from 1 to kMaxVectors; 0 where there is no such tile.
  int max_rows[kMaxVectors + 1];
  /// Computes one tile.
  void (*tile)(const ProductTile<T>& tile);
  /// to[j * to_row + i] = from[i * from_row + j] for i < rows, j < columns.
  void (*transpose)(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t from_row, T* to,
                    std::int64_t to_row);
};

}  // namespace coarsegrad::kernels
