#pragma once
// What the register tiles of all arithmetics share: addresses of rows, the loop over a sum, and a function for each
// size.
//
// Rows of A are at equal distances, and seven of them share one base register: the processor adds 1, 2, 4 or 8 times
// an index register to it, and the distance, three and five times it are such registers. Fourteen pointers would not
// fit.
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

/// The sums of a tile. An Arithmetic says what it is made of: its types Sum, A (one place of A in every lane) and B (a
/// vector of B), and its functions broadcast(address) -> A, load<kVectors>(b, v) -> B, add(a, b, sum) -> Sum.
template <class Arithmetic, int kRows, int kVectors>
struct TileSums {
  typename Arithmetic::Sum of[kRows][kVectors];
};

/// One step of the sum: row kRow of A times the vectors of B, and the rows after it.
template <int kRow, class Arithmetic, int kRows, int kVectors>
COARSEGRAD_INLINE void add_rows(TileSums<Arithmetic, kRows, kVectors>& sums, const char* const* bases,
                                const RowDistance& d, const typename Arithmetic::B* b) {
  if constexpr (kRow < kRows) {
    const typename Arithmetic::A a =
        Arithmetic::broadcast(bases[kRow / kRowsPerBase] + offset_of<kRow % kRowsPerBase>(d));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums.of[kRow][v] = Arithmetic::add(a, b[v], sums.of[kRow][v]);
    add_rows<kRow + 1>(sums, bases, d, b);
  }
}

/// The innermost loop: `steps` steps of a_step bytes in A and b_step elements in B.
template <class Arithmetic, int kRows, int kVectors, class Element>
COARSEGRAD_INLINE void add_run(const Arithmetic& arithmetic, TileSums<Arithmetic, kRows, kVectors>& sums,
                               std::int64_t steps, const void* a, std::int64_t a_step, const Element* b,
                               std::int64_t b_step, const RowDistance& d) {
  constexpr int kBases = (kRows + kRowsPerBase - 1) / kRowsPerBase;
  const char* bases[kBases];
#pragma GCC unroll 4
  for (int i = 0; i < kBases; ++i) bases[i] = static_cast<const char*>(a) + i * kRowsPerBase * d.one;
#pragma GCC unroll 1
  for (std::int64_t step = steps; step > 0; --step) {
    typename Arithmetic::B row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = arithmetic.template load<kVectors>(b, v);
    add_rows<0>(sums, bases, d, row);
#pragma GCC unroll 4
    for (int i = 0; i < kBases; ++i) bases[i] += a_step;
    b += b_step;
  }
}

/// What sums of floats begin with: C as it is, the bias, or 0. The last vector of a row has `tail` elements.
template <class Arithmetic, int kRows, int kVectors, class Tile>
COARSEGRAD_INLINE void start_floats(TileSums<Arithmetic, kRows, kVectors>& sums, const Tile& t, std::size_t tail) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t n = v + 1 < kVectors ? kLanes : tail;
      sums.of[i][v] = t.accumulate ? load_tail(t.c + i * t.c_row + v * static_cast<int>(kLanes), n)
                      : t.bias     ? load_tail(t.bias + v * static_cast<int>(kLanes), n)
                                   : zero();
    }
}

/// C = sums of floats.
template <class Arithmetic, int kRows, int kVectors, class Tile>
COARSEGRAD_INLINE void store_floats(const TileSums<Arithmetic, kRows, kVectors>& sums, const Tile& t,
                                    std::size_t tail) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) store(t.c + i * t.c_row + v * static_cast<int>(kLanes), sums.of[i][v]);
    store_tail(t.c + i * t.c_row + (kVectors - 1) * static_cast<int>(kLanes), sums.of[i][kVectors - 1], tail);
  }
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

/// Calls the function for the size of `t`.
template <class Tile>
void run(const TileFunctions<Tile>& functions, const Tile& t) {
  const int vectors = (t.columns + static_cast<int>(kLanes) - 1) / static_cast<int>(kLanes);
  functions.of[vectors][t.rows](t);
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
