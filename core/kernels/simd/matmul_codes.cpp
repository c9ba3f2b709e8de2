#include "core/kernels/matmul_codes.h"

#include "core/kernels/simd/tile_rows.h"
#include "core/kernels/simd/transpose.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

using Tile = CodeTile;

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

COARSEGRAD_INLINE CodesA codes_a(I32 bytes) { return {bytes.v}; }
COARSEGRAD_INLINE CodesB codes_b(I32 bytes) { return {bytes.v}; }
COARSEGRAD_INLINE CodeSum dot(const CodesA& a, const CodesB& b, CodeSum sum) {
  return as_sum({_mm512_dpbusd_epi32(as_int(sum).v, a.v, b.v)});
}

#else

struct CodesA {
  I32 even, odd;
};
using CodesB = CodesA;

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

COARSEGRAD_INLINE CodesA codes_a(I32 bytes) { return {bytes & set1(std::int32_t{0x00FF00FF}), shift_right_16(bytes)}; }
COARSEGRAD_INLINE CodesB codes_b(I32 bytes) {
  return {shift_right_signed_16(shift_left_16(bytes)), shift_right_signed_16(bytes)};
}
COARSEGRAD_INLINE CodeSum dot(const CodesA& a, const CodesB& b, CodeSum sum) {
  return sum + as_sum(multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd));
}

#endif

constexpr int kStepBytes = kCodesPerStep * static_cast<int>(kLanes);  // of one vector of B

struct CodeProducts {
  using Sum = CodeSum;
  using A = CodesA;
  using B = CodesB;

  COARSEGRAD_INLINE static CodesA broadcast(const char* from) {
    std::int32_t bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    return codes_a(set1(bytes));
  }
  COARSEGRAD_INLINE static CodeSum add(const CodesA& a, const CodesB& b, CodeSum sum) { return dot(a, b, sum); }
  template <int kVectors>
  COARSEGRAD_INLINE CodesB load(const std::int8_t* b, int v) const {
    return codes_b(kernels::COARSEGRAD_TARGET::load(reinterpret_cast<const std::int32_t*>(b + v * kStepBytes)));
  }
};

template <int kRows, int kVectors>
void tile_of(const Tile& t) {
  const RowDistance d(t.a_row);
  TileSums<CodeProducts, kRows, kVectors> sums;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums.of[i][v] = CodeSum{};
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      add_run(CodeProducts{}, sums, t.steps[2], t.a + s0 * t.a_step[0] + s1 * t.a_step[1], t.a_step[2],
              t.b + s0 * t.b_step[0] + s1 * t.b_step[1], t.b_step[2], d);
  const std::size_t tail = static_cast<std::size_t>(t.columns) - (kVectors - 1) * kLanes;
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

template <int kVectors, int kRows>
struct Sized {
  static void run(const Tile& t) { tile_of<kRows, kVectors>(t); }
};

constexpr TileFunctions<Tile> kFunctions = list_functions<Tile, Sized, kMaxRows>();

void tile(const Tile& t) {
  const int vectors = (t.columns + static_cast<int>(kLanes) - 1) / static_cast<int>(kLanes);
  kFunctions.of[vectors][t.rows](t);
}

// Four codes are one 32-bit element: B is transposed.
void pack(int columns, int width, std::int64_t steps, const std::int8_t* from, std::int64_t from_row, std::int8_t* to) {
  const int whole_columns = from_row % kCodesPerStep == 0 ? columns / 8 * 8 : 0;
  const std::int64_t whole_steps = steps / 8 * 8;
  for (int j = 0; j < whole_columns; j += 8)
    for (std::int64_t s = 0; s < whole_steps; s += 8)
      transpose_block(reinterpret_cast<const float*>(from + j * from_row + kCodesPerStep * s), from_row / kCodesPerStep,
                      reinterpret_cast<float*>(to + (s * width + j) * kCodesPerStep), width);
  for (std::int64_t s = 0; s < steps; ++s)
    for (int j = s < whole_steps ? whole_columns : 0; j < width; ++j) {
      std::int8_t* four = to + (s * width + j) * kCodesPerStep;
      const std::int8_t* codes = from + j * from_row + kCodesPerStep * s;
      for (int k = 0; k < kCodesPerStep; ++k) four[k] = j < columns ? codes[k] : std::int8_t{0};
    }
}

}  // namespace

const MatmulCodes matmul_codes{
    static_cast<int>(kLanes), {kMaxRows[0], kMaxRows[1], kMaxRows[2], kMaxRows[3], kMaxRows[4]}, tile, pack};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
