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
  const T* a;
  std::int64_t a_row;
  const T* b;
  std::int64_t steps[3], a_step[3], b_step[3];
  T* c;
  std::int64_t c_row;
  int rows, columns;  // 1 <= rows <= max_rows[vectors], vectors = ceil(columns / lanes), columns >= 1
  const T* bias = nullptr;
  bool accumulate = false;
  bool stream = false;  // write past the caches; columns are whole vectors and rows of C aligned to them
};

template <class T>
struct Matmul {
  using Tile = ProductTile<T>;
  static constexpr int kMaxVectors = 4;
  /// Elements in a vector. 0: no vector kernels; tile() takes any rows and columns then.
  int lanes;
  /// Most rows of a tile that is v vectors wide, v from 1 to kMaxVectors; 0 where there is no such tile.
  int max_rows[kMaxVectors + 1];
  void (*tile)(const ProductTile<T>& tile);
  /// to[j * to_row + i] = from[i * from_row + j] for i < rows, j < columns.
  void (*transpose)(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t from_row, T* to,
                    std::int64_t to_row);
};

}  // namespace coarsegrad::kernels
