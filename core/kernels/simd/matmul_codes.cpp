#include "core/kernels/matmul_codes.h"

#include "core/kernels/simd/pack_codes.h"
#include "core/kernels/simd/small_codes.h"
#include "core/kernels/simd/tile_rows.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// g++ 12 keeps vectors of no particular element (I32) in memory here, and these in registers.
using CodeSum = std::int32_t __attribute__((vector_size(4 * kLanes)));
COARSEGRAD_INLINE CodeSum as_sum(I32 a) { return reinterpret_cast<CodeSum>(a.v); }
COARSEGRAD_INLINE I32 as_int(CodeSum a) { return {reinterpret_cast<decltype(I32::v)>(a)}; }

// Four codes of one row of A in every lane, four codes of a column of B per lane, and dot(a, b, sum): their
// products added to the lanes of `sum`. Without the instruction for it, codes are widened to 16 bits, those
// in even and in odd places apart: bytes times bytes with 16-bit sums would saturate at 255 * 127 * 2.
#ifdef __AVX512VNNI__

struct CodesA {
  __m512i v;
};
using CodesB = CodesA;
constexpr int kMaxRows[5] = {0, 16, 14, 9, 6};
constexpr bool kOffset = true;  // the instruction wants unsigned codes of A: signed ones are multiplied as a + 128

template <class In>
COARSEGRAD_INLINE CodesA codes_a(I32 bytes) {
  if constexpr (CodeTile<In>::kSigned) bytes = bytes ^ set1(static_cast<std::int32_t>(0x80808080u));
  return {bytes.v};
}
COARSEGRAD_INLINE CodesB codes_b(I32 bytes) { return {bytes.v}; }
COARSEGRAD_INLINE CodeSum dot(const CodesA& a, const CodesB& b, CodeSum sum) {
  return as_sum({_mm512_dpbusd_epi32(as_int(sum).v, a.v, b.v)});
}

#else

struct CodesA {
  I32 even, odd;
};
using CodesB = CodesA;
constexpr bool kOffset = false;

#ifdef __AVX512F__
constexpr int kMaxRows[5] = {0, 16, 10, 0, 0};
COARSEGRAD_INLINE I32 shift_right_16(I32 a) { return {_mm512_srli_epi16(a.v, 8)}; }
COARSEGRAD_INLINE I32 shift_right_signed_16(I32 a) { return {_mm512_srai_epi16(a.v, 8)}; }
COARSEGRAD_INLINE I32 shift_left_16(I32 a) { return {_mm512_slli_epi16(a.v, 8)}; }
COARSEGRAD_INLINE I32 multiply_pairs(I32 a, I32 b) { return {_mm512_madd_epi16(a.v, b.v)}; }
#else
constexpr int kMaxRows[5] = {0, 8, 4, 0, 0};
COARSEGRAD_INLINE I32 shift_right_16(I32 a) { return {_mm256_srli_epi16(a.v, 8)}; }
COARSEGRAD_INLINE I32 shift_right_signed_16(I32 a) { return {_mm256_srai_epi16(a.v, 8)}; }
COARSEGRAD_INLINE I32 shift_left_16(I32 a) { return {_mm256_slli_epi16(a.v, 8)}; }
COARSEGRAD_INLINE I32 multiply_pairs(I32 a, I32 b) { return {_mm256_madd_epi16(a.v, b.v)}; }
#endif

COARSEGRAD_INLINE CodesB codes_b(I32 bytes) {
  return {shift_right_signed_16(shift_left_16(bytes)), shift_right_signed_16(bytes)};
}
template <class In>
COARSEGRAD_INLINE CodesA codes_a(I32 bytes) {
  if constexpr (CodeTile<In>::kSigned)
    return codes_b(bytes);
  else
    return {bytes & set1(std::int32_t{0x00FF00FF}), shift_right_16(bytes)};
}
COARSEGRAD_INLINE CodeSum dot(const CodesA& a, const CodesB& b, CodeSum sum) {
  return sum + as_sum(multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd));
}

#endif

constexpr int kStepBytes = kCodesPerStep * static_cast<int>(kLanes);  // of one vector of B

template <class In>
struct CodeProducts {
  using Sum = CodeSum;
  using A = CodesA;
  using B = CodesB;

  COARSEGRAD_INLINE static CodesA broadcast(const char* from) {
    std::int32_t bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    return codes_a<In>(set1(bytes));
  }
  COARSEGRAD_INLINE static CodeSum add(const CodesA& a, const CodesB& b, CodeSum sum) { return dot(a, b, sum); }
  template <int kVectors>
  COARSEGRAD_INLINE CodesB load(const std::int8_t* b, int v) const {
    return codes_b(kernels::COARSEGRAD_TARGET::load(reinterpret_cast<const std::int32_t*>(b + v * kStepBytes)));
  }
};

/// What the sums of all rows begin with: 0, or what an offset of 128 in every code of A will have added too much. (It
/// may leave 32 bits on the way; the sum is right in the end, since sums wrap around.)
template <class In, int kVectors>
COARSEGRAD_INLINE void begin_sums(const CodeTile<In>& t, CodeSum* start) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) start[v] = CodeSum{};
  if constexpr (kOffset && CodeTile<In>::kSigned) {
    const CodesA offset = codes_a<In>(set1(std::int32_t{0}));
    for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
      for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1) {
        const std::int8_t* b = t.b + s0 * t.b_step[0] + s1 * t.b_step[1];
#pragma GCC unroll 1
        for (std::int64_t s2 = 0; s2 < t.steps[2]; ++s2, b += t.b_step[2])
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            start[v] = dot(offset, CodeProducts<In>{}.template load<kVectors>(b, v), start[v]);
      }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) start[v] = as_sum(set1(std::int32_t{0}) - as_int(start[v]));
  }
}

/// The sums as they are: vector v of row i, the last one cut after `tail` elements.
template <class Sums, int kRows, int kVectors>
COARSEGRAD_INLINE void store_sums(const Sums& sums, std::int32_t* to, std::int64_t row, std::size_t tail) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i, to += row) {
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) store(to + v * static_cast<int>(kLanes), as_int(sums.of[i][v]));
    store_tail(to + (kVectors - 1) * static_cast<int>(kLanes), as_int(sums.of[i][kVectors - 1]), tail);
  }
}

/// The same, scaled.
template <class Sums, int kRows, int kVectors, class Tile>
COARSEGRAD_INLINE void store_scaled(const Sums& sums, const Tile& t, std::size_t tail) {
  F32 scale[kVectors], bias[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t n = v + 1 < kVectors ? kLanes : tail;
    scale[v] = load_tail(t.scale + v * static_cast<int>(kLanes), n);
    bias[v] = t.bias ? load_tail(t.bias + v * static_cast<int>(kLanes), n) : zero();
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    float* c = t.c + i * t.c_row;
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v)
      store(c + v * static_cast<int>(kLanes), fma(scale[v], to_float(as_int(sums.of[i][v])), bias[v]));
    constexpr int last = kVectors - 1;
    store_tail(c + last * static_cast<int>(kLanes), fma(scale[last], to_float(as_int(sums.of[i][last])), bias[last]),
               tail);
  }
}

/// Adds up all steps of a tile, from sums that are set.
template <class Arithmetic, int kRows, int kVectors, class Tile>
COARSEGRAD_INLINE void add_steps(TileSums<Arithmetic, kRows, kVectors>& sums, const Tile& t) {
  const RowDistance d(t.a_row);
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      add_run(Arithmetic{}, sums, t.steps[2], t.a + s0 * t.a_step[0] + s1 * t.a_step[1], t.a_step[2],
              t.b + s0 * t.b_step[0] + s1 * t.b_step[1], t.b_step[2], d);
}

/// The sums of a tile where they are wanted, scaled or as they are.
template <class Sums, int kRows, int kVectors, class Tile>
COARSEGRAD_INLINE void store_all(const Sums& sums, const Tile& t) {
  const std::size_t tail = static_cast<std::size_t>(t.columns) - (kVectors - 1) * kLanes;
  if (t.sums)
    store_sums<Sums, kRows, kVectors>(sums, t.sums, t.c_row, tail);
  else
    store_scaled<Sums, kRows, kVectors>(sums, t, tail);
}

template <class In, int kRows, int kVectors>
void tile_of(const CodeTile<In>& t) {
  TileSums<CodeProducts<In>, kRows, kVectors> sums;
  CodeSum start[kVectors];
  begin_sums<In, kVectors>(t, start);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums.of[i][v] = start[v];
  add_steps(sums, t);
  store_all<decltype(sums), kRows, kVectors>(sums, t);
}

template <class In>
struct Tiles {
  template <int kVectors, int kRows>
  struct Sized {
    static void run(const CodeTile<In>& t) { tile_of<In, kRows, kVectors>(t); }
  };
  static constexpr TileFunctions<CodeTile<In>> kFunctions = list_functions<CodeTile<In>, Sized, kMaxRows>();

  static void tile(const CodeTile<In>& t) { run(kFunctions, t); }
};

template <class In>
constexpr CodeProduct<In> kProduct{static_cast<int>(kLanes),
                                   {kMaxRows[0], kMaxRows[1], kMaxRows[2], kMaxRows[3], kMaxRows[4]},
                                   1,
                                   Tiles<In>::tile,
                                   pack};

#ifdef __AVX512VNNI__
constexpr const CodeProduct<std::uint8_t>* kSmall = nullptr;
#else
using SmallTile = CodeTile<std::uint8_t>;

template <int kVectors, int kRows>
struct SmallSized {
  static void run(const SmallTile& t) {
    TileSums<SmallProducts, kRows, kVectors> pairs;
    TileSums<CodeProducts<std::uint8_t>, kRows, kVectors> sums;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) pairs.of[i][v] = PairSum{};
    add_steps(pairs, t);
    const I32 ones = set1(std::int32_t{0x00010001});
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums.of[i][v] = as_sum(multiply_pairs(as_int(pairs.of[i][v]), ones));
    store_all<decltype(sums), kRows, kVectors>(sums, t);
  }
};

constexpr TileFunctions<SmallTile> kSmallFunctions = list_functions<SmallTile, SmallSized, kMaxSmallRows>();

void small_tile(const SmallTile& t) { run(kSmallFunctions, t); }

constexpr CodeProduct<std::uint8_t> kSmallProduct{
    static_cast<int>(kLanes),
    {kMaxSmallRows[0], kMaxSmallRows[1], kMaxSmallRows[2], kMaxSmallRows[3], kMaxSmallRows[4]},
    1,
    small_tile,
    pack};
constexpr const CodeProduct<std::uint8_t>* kSmall = &kSmallProduct;
#endif

}  // namespace

const MatmulCodes matmul_codes{kProduct<std::uint8_t>, kProduct<std::int8_t>, kSmall};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
