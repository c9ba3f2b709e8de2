#include "core/kernels/matmul.h"

#include "core/kernels/simd/tile_rows.h"
#include "core/kernels/simd/transpose.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

using Tile = ProductTile<float>;

struct FloatProducts {
  using Sum = F32;
  using A = F32;
  using B = F32;
  std::size_t tail;  // columns in the last vector of B, the only one that may be partly outside

  COARSEGRAD_INLINE static F32 broadcast(const char* from) { return set1(*reinterpret_cast<const float*>(from)); }
  COARSEGRAD_INLINE static F32 add(F32 a, F32 b, F32 sum) { return fma(a, b, sum); }
  template <int kVectors>
  COARSEGRAD_INLINE F32 load(const float* b, int v) const {
    return v + 1 < kVectors ? kernels::COARSEGRAD_TARGET::load(b + v * static_cast<int>(kLanes))
                            : load_tail(b + v * static_cast<int>(kLanes), tail);
  }
};

template <int kRows, int kVectors>
using Accumulators = TileSums<FloatProducts, kRows, kVectors>;

template <int kRows, int kVectors>
void tile_of(const Tile& t) {
  const std::size_t tail = static_cast<std::size_t>(t.columns) - (kVectors - 1) * kLanes;
  const RowDistance d(t.a_row * static_cast<std::int64_t>(sizeof(float)));
  Accumulators<kRows, kVectors> acc;
  start_floats(acc, t, tail);
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      add_run(FloatProducts{tail}, acc, t.steps[2], t.a + s0 * t.a_step[0] + s1 * t.a_step[1],
              t.a_step[2] * static_cast<std::int64_t>(sizeof(float)), t.b + s0 * t.b_step[0] + s1 * t.b_step[1],
              t.b_step[2], d);
  if (t.stream) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) store_stream(t.c + i * t.c_row + v * static_cast<int>(kLanes), acc.of[i][v]);
    return;
  }
  store_floats(acc, t, tail);
}

// Rows that fit into the registers beside the vectors of B, a broadcast and (avx2) the mask of the tail. More
// than 16 rows of one vector gain nothing: there the loads are the limit.
#ifdef __AVX512F__
constexpr int kMaxRows[] = {0, 16, 14, 9, 6};
#else
constexpr int kMaxRows[] = {0, 12, 6, 0, 0};
#endif

template <int kVectors, int kRows>
struct Sized {
  static void run(const Tile& t) { tile_of<kRows, kVectors>(t); }
};

constexpr TileFunctions<Tile> kFunctions = list_functions<Tile, Sized, kMaxRows>();

void tile(const Tile& t) { run(kFunctions, t); }

void transpose(std::int64_t rows, std::int64_t columns, const float* from, std::int64_t from_row, float* to,
               std::int64_t to_row) {
  const std::int64_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
  for (std::int64_t i = 0; i < whole_rows; i += 8)
    for (std::int64_t j = 0; j < whole_columns; j += 8)
      transpose_block(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      to[j * to_row + i] = from[i * from_row + j];
}

}  // namespace

const Matmul<float> matmul{
    static_cast<int>(kLanes), {kMaxRows[0], kMaxRows[1], kMaxRows[2], kMaxRows[3], kMaxRows[4]}, tile, transpose};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
