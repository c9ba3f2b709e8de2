#include "core/kernels/matmul.h"

#include "core/kernels/simd/tile_rows.h"
#include "core/kernels/simd/transpose.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

using Tile = ProductTile<float>;

template <int kRow>
COARSEGRAD_INLINE F32 broadcast(const char* base, const RowDistance& d) {
  return set1(*reinterpret_cast<const float*>(base + offset_of<kRow>(d)));
}

template <int kRows, int kVectors>
struct Accumulators {
  F32 sum[kRows][kVectors];
};

// One step of the sum: row kRow of A times the vectors of B, and the rows after it.
template <int kRow, int kRows, int kVectors>
COARSEGRAD_INLINE void add_rows(Accumulators<kRows, kVectors>& acc, const char* const* bases, const RowDistance& d,
                                const F32* b) {
  if constexpr (kRow < kRows) {
    const F32 a = broadcast<kRow % kRowsPerBase>(bases[kRow / kRowsPerBase], d);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc.sum[kRow][v] = fma(a, b[v], acc.sum[kRow][v]);
    add_rows<kRow + 1>(acc, bases, d, b);
  }
}

// The innermost loop. Only the last vector of B may be partly outside.
template <int kRows, int kVectors>
COARSEGRAD_INLINE void add_run(Accumulators<kRows, kVectors>& acc, const Tile& t, const float* a, const float* b,
                               const RowDistance& d, std::size_t tail) {
  constexpr int kBases = (kRows + kRowsPerBase - 1) / kRowsPerBase;
  const std::int64_t a_step = t.a_step[2] * static_cast<std::int64_t>(sizeof(float)), b_step = t.b_step[2];
  const char* bases[kBases];
#pragma GCC unroll 4
  for (int i = 0; i < kBases; ++i) bases[i] = reinterpret_cast<const char*>(a) + i * kRowsPerBase * d.one;
#pragma GCC unroll 1
  for (std::int64_t step = t.steps[2]; step > 0; --step) {
    F32 row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) row[v] = load(b + v * kLanes);
    row[kVectors - 1] = load_tail(b + (kVectors - 1) * kLanes, tail);
    add_rows<0>(acc, bases, d, row);
#pragma GCC unroll 4
    for (int i = 0; i < kBases; ++i) bases[i] += a_step;
    b += b_step;
  }
}

template <int kRows, int kVectors>
COARSEGRAD_INLINE void start(Accumulators<kRows, kVectors>& acc, const Tile& t, std::size_t tail) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t n = v + 1 < kVectors ? kLanes : tail;
      acc.sum[i][v] = t.accumulate ? load_tail(t.c + i * t.c_row + v * static_cast<int>(kLanes), n)
                      : t.bias     ? load_tail(t.bias + v * static_cast<int>(kLanes), n)
                                   : zero();
    }
}

template <int kRows, int kVectors>
void tile_of(const Tile& t) {
  const std::size_t tail = static_cast<std::size_t>(t.columns) - (kVectors - 1) * kLanes;
  const RowDistance d(t.a_row * static_cast<std::int64_t>(sizeof(float)));
  Accumulators<kRows, kVectors> acc;
  start(acc, t, tail);
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      add_run(acc, t, t.a + s0 * t.a_step[0] + s1 * t.a_step[1], t.b + s0 * t.b_step[0] + s1 * t.b_step[1], d, tail);
  if (t.stream) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) store_stream(t.c + i * t.c_row + v * static_cast<int>(kLanes), acc.sum[i][v]);
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) store(t.c + i * t.c_row + v * static_cast<int>(kLanes), acc.sum[i][v]);
    store_tail(t.c + i * t.c_row + (kVectors - 1) * static_cast<int>(kLanes), acc.sum[i][kVectors - 1], tail);
  }
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

void tile(const Tile& t) {
  const int vectors = (t.columns + static_cast<int>(kLanes) - 1) / static_cast<int>(kLanes);
  kFunctions.of[vectors][t.rows](t);
}

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
