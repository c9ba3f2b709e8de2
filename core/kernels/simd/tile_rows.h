#pragma once
// What the register tiles of all arithmetics share: addresses of rows, and a function for each size.
//
// Rows of A at equal distances. Seven of them share one base register: the processor adds 1, 2, 4 or 8 times
// an index register to it, and the distance, three and five times it are such registers. Fourteen pointers
// would not fit.
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr int kRowsPerBase = 7;

struct RowDistance {
  std::int64_t one, three, five;  // bytes
  COARSEGRAD_INLINE explicit RowDistance(std::int64_t bytes) : one(bytes), three(3 * bytes), five(5 * bytes) {}
};

/// From a base to its row kRow, in bytes.
template <int kRow>
COARSEGRAD_INLINE std::int64_t offset_of(const RowDistance& d) {
  std::int64_t offset = 0;
  if constexpr (kRow == 1) offset = d.one;
  if constexpr (kRow == 2) offset = 2 * d.one;
  if constexpr (kRow == 3) offset = d.three;
  if constexpr (kRow == 4) offset = 4 * d.one;
  if constexpr (kRow == 5) offset = d.five;
  if constexpr (kRow == 6) offset = 2 * d.three;
  return offset;
}

/// A function for each size of a tile, up to max_rows[vectors] rows: Sized<vectors, rows>::run.
template <class Tile>
struct TileFunctions {
  void (*of[5][17])(const Tile&);
};

template <template <int, int> class Sized, const int (&kMaxRows)[5], int kVectors, int kRows, class Tile>
constexpr void list_rows(TileFunctions<Tile>& functions) {
  if constexpr (kRows <= kMaxRows[kVectors]) {
    functions.of[kVectors][kRows] = Sized<kVectors, kRows>::run;
    list_rows<Sized, kMaxRows, kVectors, kRows + 1>(functions);
  }
}

template <class Tile, template <int, int> class Sized, const int (&kMaxRows)[5]>
constexpr TileFunctions<Tile> list_functions() {
  TileFunctions<Tile> functions{};
  list_rows<Sized, kMaxRows, 1, 1>(functions);
  list_rows<Sized, kMaxRows, 2, 1>(functions);
  list_rows<Sized, kMaxRows, 3, 1>(functions);
  list_rows<Sized, kMaxRows, 4, 1>(functions);
  return functions;
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
