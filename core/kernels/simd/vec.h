#pragma once
// The width of the vector kernels: a kernel written once with these types is compiled for 8 lanes (avx2) and
// for 16 lanes (avx512). One function is one or a few instructions. Everything is local to the translation
// unit, and nothing of the standard library is used: an inline function shared with code compiled for a
// plainer processor would be a symbol that the linker may pick from here.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

#define COARSEGRAD_INLINE [[gnu::always_inline]] inline

#ifdef __AVX512F__
constexpr std::size_t kLanes = 16;
struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};
struct U64 {  // kLanes / 2 lanes
  __m512i v;
};
struct F64 {  // kLanes / 2 lanes
  __m512d v;
};
struct Mask {
  __mmask16 v;
};
#else
constexpr std::size_t kLanes = 8;
struct F32 {
  __m256 v;
};
struct I32 {
  __m256i v;
};
struct U64 {  // kLanes / 2 lanes
  __m256i v;
};
struct F64 {  // kLanes / 2 lanes
  __m256d v;
};
struct Mask {  // each lane all ones or all zeros
  __m256 v;
};
#endif

// Loads and stores need no alignment. The tail versions touch the first n <= kLanes elements only; a tail
// load fills up with zeros. min and max return the second argument if one of the two is NaN; comparisons with
// NaN are false, apart from neq. fma(a, b, c) = a b + c, fms = a b - c, fnma = c - a b, each rounded once.
#ifdef __AVX512F__

COARSEGRAD_INLINE F32 set1(float x) { return {_mm512_set1_ps(x)}; }
COARSEGRAD_INLINE I32 set1(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
COARSEGRAD_INLINE F32 zero() { return {_mm512_setzero_ps()}; }
COARSEGRAD_INLINE I32 lane_index() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
COARSEGRAD_INLINE Mask first(std::size_t n) { return {static_cast<__mmask16>(n >= kLanes ? 0xFFFFu : (1u << n) - 1u)}; }

COARSEGRAD_INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
COARSEGRAD_INLINE I32 load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
COARSEGRAD_INLINE F32 load_tail(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(first(n).v, p)}; }
COARSEGRAD_INLINE I32 load_tail(const std::int32_t* p, std::size_t n) {
  return {_mm512_maskz_loadu_epi32(first(n).v, p)};
}
COARSEGRAD_INLINE void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
/// Stores past the caches; p is aligned to a vector.
COARSEGRAD_INLINE void store_stream(float* p, F32 a) { _mm512_stream_ps(p, a.v); }
COARSEGRAD_INLINE void store(std::int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
COARSEGRAD_INLINE void store_tail(float* p, F32 a, std::size_t n) { _mm512_mask_storeu_ps(p, first(n).v, a.v); }
COARSEGRAD_INLINE void store_tail(std::int32_t* p, I32 a, std::size_t n) {
  _mm512_mask_storeu_epi32(p, first(n).v, a.v);
}

COARSEGRAD_INLINE F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 operator-(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
COARSEGRAD_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F32 fms(F32 a, F32 b, F32 c) { return {_mm512_fmsub_ps(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F32 fnma(F32 a, F32 b, F32 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F32 ceil(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
COARSEGRAD_INLINE F32 floor(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
COARSEGRAD_INLINE F32 round_even(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

COARSEGRAD_INLINE Mask operator<(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
COARSEGRAD_INLINE Mask operator<=(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
COARSEGRAD_INLINE Mask operator>(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
COARSEGRAD_INLINE Mask operator>=(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
COARSEGRAD_INLINE Mask operator==(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
COARSEGRAD_INLINE Mask operator!=(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
COARSEGRAD_INLINE Mask operator>(I32 a, I32 b) { return {_mm512_cmpgt_epi32_mask(a.v, b.v)}; }
COARSEGRAD_INLINE Mask operator==(I32 a, I32 b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
COARSEGRAD_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.v & b.v)}; }
COARSEGRAD_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
COARSEGRAD_INLINE Mask operator~(Mask a) { return {static_cast<__mmask16>(~a.v)}; }
COARSEGRAD_INLINE F32 select(Mask m, F32 a, F32 b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }
COARSEGRAD_INLINE I32 select(Mask m, I32 a, I32 b) { return {_mm512_mask_blend_epi32(m.v, b.v, a.v)}; }
/// a where m, else 0.
COARSEGRAD_INLINE F32 keep(Mask m, F32 a) { return {_mm512_maskz_mov_ps(m.v, a.v)}; }
/// Bit i = lane i.
COARSEGRAD_INLINE std::uint32_t bits(Mask m) { return m.v; }

COARSEGRAD_INLINE I32 operator+(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator-(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator*(I32 a, I32 b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator&(I32 a, I32 b) { return {_mm512_and_si512(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator|(I32 a, I32 b) { return {_mm512_or_si512(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator^(I32 a, I32 b) { return {_mm512_xor_si512(a.v, b.v)}; }
COARSEGRAD_INLINE I32 min(I32 a, I32 b) { return {_mm512_min_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 max(I32 a, I32 b) { return {_mm512_max_epi32(a.v, b.v)}; }
template <int k>
COARSEGRAD_INLINE I32 shift_left(I32 a) {
  return {_mm512_slli_epi32(a.v, k)};
}
template <int k>
COARSEGRAD_INLINE I32 shift_right(I32 a) {
  return {_mm512_srai_epi32(a.v, k)};
}
template <int k>
COARSEGRAD_INLINE I32 shift_right_logical(I32 a) {
  return {_mm512_srli_epi32(a.v, k)};
}

COARSEGRAD_INLINE F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
/// Rounds to nearest even; out of range gives the smallest integer.
COARSEGRAD_INLINE I32 to_int(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
COARSEGRAD_INLINE I32 to_int_truncated(F32 a) { return {_mm512_cvttps_epi32(a.v)}; }
COARSEGRAD_INLINE F32 as_float(I32 a) { return {_mm512_castsi512_ps(a.v)}; }
COARSEGRAD_INLINE I32 as_int(F32 a) { return {_mm512_castps_si512(a.v)}; }

COARSEGRAD_INLINE U64 set1(std::uint64_t x) { return {_mm512_set1_epi64(static_cast<long long>(x))}; }
COARSEGRAD_INLINE U64 operator+(U64 a, U64 b) { return {_mm512_add_epi64(a.v, b.v)}; }
COARSEGRAD_INLINE U64 operator^(U64 a, U64 b) { return {_mm512_xor_si512(a.v, b.v)}; }
COARSEGRAD_INLINE U64 lane_index_u64() { return {_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)}; }
COARSEGRAD_INLINE U64 xor3(U64 a, U64 b, U64 c) { return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)}; }
/// (a & b) | c.
COARSEGRAD_INLINE I32 and_or(I32 a, I32 b, I32 c) { return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0xEA)}; }
/// (a & b) ^ c.
COARSEGRAD_INLINE I32 and_xor(I32 a, I32 b, I32 c) { return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0x6A)}; }
/// The 64-bit products of the lower 32 bits of the lanes.
COARSEGRAD_INLINE U64 multiply_low(U64 a, U64 b) { return {_mm512_mul_epu32(a.v, b.v)}; }
template <int k>
COARSEGRAD_INLINE U64 shift_left(U64 a) {
  return {_mm512_slli_epi64(a.v, k)};
}
template <int k>
COARSEGRAD_INLINE U64 shift_right(U64 a) {
  return {_mm512_srli_epi64(a.v, k)};
}
COARSEGRAD_INLINE I32 as_int(U64 a) { return {a.v}; }
/// Each pair of neighbouring lanes the other way round.
COARSEGRAD_INLINE I32 swap_neighbours(I32 a) { return {_mm512_shuffle_epi32(a.v, _MM_PERM_CDAB)}; }
/// Pairs of lanes taken in turn from a and b, stored at p: a0 a1 b0 b1 a2 a3 b2 b3 ..., 2 kLanes values.
COARSEGRAD_INLINE void store_pairs_in_turn(std::int32_t* p, I32 a, I32 b) {
  const __m512i low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  store(p, I32{_mm512_permutex2var_epi64(a.v, low, b.v)});
  store(p + kLanes, I32{_mm512_permutex2var_epi64(a.v, high, b.v)});
}

COARSEGRAD_INLINE __m256 low_half(F32 a) { return _mm512_castps512_ps256(a.v); }
COARSEGRAD_INLINE __m256 high_half(F32 a) { return _mm512_extractf32x8_ps(a.v, 1); }

COARSEGRAD_INLINE F64 zero_f64() { return {_mm512_setzero_pd()}; }
COARSEGRAD_INLINE F64 low_f64(F32 a) { return {_mm512_cvtps_pd(low_half(a))}; }
COARSEGRAD_INLINE F64 high_f64(F32 a) { return {_mm512_cvtps_pd(high_half(a))}; }
COARSEGRAD_INLINE F64 fma(F64 a, F64 b, F64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F64 operator+(F64 a, F64 b) { return {_mm512_add_pd(a.v, b.v)}; }
COARSEGRAD_INLINE void store(double* p, F64 a) { _mm512_storeu_pd(p, a.v); }

#else

COARSEGRAD_INLINE F32 set1(float x) { return {_mm256_set1_ps(x)}; }
COARSEGRAD_INLINE I32 set1(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
COARSEGRAD_INLINE F32 zero() { return {_mm256_setzero_ps()}; }
COARSEGRAD_INLINE I32 lane_index() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)}; }
COARSEGRAD_INLINE Mask first(std::size_t n) {
  const __m256i count = _mm256_set1_epi32(static_cast<int>(n));
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(count, lane_index().v))};
}

COARSEGRAD_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
COARSEGRAD_INLINE I32 load(const std::int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
COARSEGRAD_INLINE F32 load_tail(const float* p, std::size_t n) {
  return {_mm256_maskload_ps(p, _mm256_castps_si256(first(n).v))};
}
COARSEGRAD_INLINE I32 load_tail(const std::int32_t* p, std::size_t n) {
  return {_mm256_maskload_epi32(p, _mm256_castps_si256(first(n).v))};
}
COARSEGRAD_INLINE void store(float* p, F32 a) { _mm256_storeu_ps(p, a.v); }
COARSEGRAD_INLINE void store_stream(float* p, F32 a) { _mm256_stream_ps(p, a.v); }
COARSEGRAD_INLINE void store(std::int32_t* p, I32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
COARSEGRAD_INLINE void store_tail(float* p, F32 a, std::size_t n) {
  _mm256_maskstore_ps(p, _mm256_castps_si256(first(n).v), a.v);
}
COARSEGRAD_INLINE void store_tail(std::int32_t* p, I32 a, std::size_t n) {
  _mm256_maskstore_epi32(p, _mm256_castps_si256(first(n).v), a.v);
}

COARSEGRAD_INLINE F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 operator-(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
COARSEGRAD_INLINE F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.v)}; }
COARSEGRAD_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F32 fms(F32 a, F32 b, F32 c) { return {_mm256_fmsub_ps(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F32 fnma(F32 a, F32 b, F32 c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F32 ceil(F32 a) { return {_mm256_ceil_ps(a.v)}; }
COARSEGRAD_INLINE F32 floor(F32 a) { return {_mm256_floor_ps(a.v)}; }
COARSEGRAD_INLINE F32 round_even(F32 a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

COARSEGRAD_INLINE Mask operator<(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
COARSEGRAD_INLINE Mask operator<=(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
COARSEGRAD_INLINE Mask operator>(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
COARSEGRAD_INLINE Mask operator>=(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
COARSEGRAD_INLINE Mask operator==(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
COARSEGRAD_INLINE Mask operator!=(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_NEQ_UQ)}; }
COARSEGRAD_INLINE Mask operator>(I32 a, I32 b) { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.v, b.v))}; }
COARSEGRAD_INLINE Mask operator==(I32 a, I32 b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }
COARSEGRAD_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.v, b.v)}; }
COARSEGRAD_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.v, b.v)}; }
COARSEGRAD_INLINE Mask operator~(Mask a) { return {_mm256_xor_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))}; }
COARSEGRAD_INLINE F32 select(Mask m, F32 a, F32 b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
COARSEGRAD_INLINE I32 select(Mask m, I32 a, I32 b) {
  return {_mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(b.v), _mm256_castsi256_ps(a.v), m.v))};
}
/// a where m, else 0.
COARSEGRAD_INLINE F32 keep(Mask m, F32 a) { return {_mm256_and_ps(m.v, a.v)}; }
/// Bit i = lane i.
COARSEGRAD_INLINE std::uint32_t bits(Mask m) { return static_cast<std::uint32_t>(_mm256_movemask_ps(m.v)); }

COARSEGRAD_INLINE I32 operator+(I32 a, I32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator-(I32 a, I32 b) { return {_mm256_sub_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator*(I32 a, I32 b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator&(I32 a, I32 b) { return {_mm256_and_si256(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator|(I32 a, I32 b) { return {_mm256_or_si256(a.v, b.v)}; }
COARSEGRAD_INLINE I32 operator^(I32 a, I32 b) { return {_mm256_xor_si256(a.v, b.v)}; }
COARSEGRAD_INLINE I32 min(I32 a, I32 b) { return {_mm256_min_epi32(a.v, b.v)}; }
COARSEGRAD_INLINE I32 max(I32 a, I32 b) { return {_mm256_max_epi32(a.v, b.v)}; }
template <int k>
COARSEGRAD_INLINE I32 shift_left(I32 a) {
  return {_mm256_slli_epi32(a.v, k)};
}
template <int k>
COARSEGRAD_INLINE I32 shift_right(I32 a) {
  return {_mm256_srai_epi32(a.v, k)};
}
template <int k>
COARSEGRAD_INLINE I32 shift_right_logical(I32 a) {
  return {_mm256_srli_epi32(a.v, k)};
}

COARSEGRAD_INLINE F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.v)}; }
/// Rounds to nearest even; out of range gives the smallest integer.
COARSEGRAD_INLINE I32 to_int(F32 a) { return {_mm256_cvtps_epi32(a.v)}; }
COARSEGRAD_INLINE I32 to_int_truncated(F32 a) { return {_mm256_cvttps_epi32(a.v)}; }
COARSEGRAD_INLINE F32 as_float(I32 a) { return {_mm256_castsi256_ps(a.v)}; }
COARSEGRAD_INLINE I32 as_int(F32 a) { return {_mm256_castps_si256(a.v)}; }

COARSEGRAD_INLINE U64 set1(std::uint64_t x) { return {_mm256_set1_epi64x(static_cast<long long>(x))}; }
COARSEGRAD_INLINE U64 operator+(U64 a, U64 b) { return {_mm256_add_epi64(a.v, b.v)}; }
COARSEGRAD_INLINE U64 operator^(U64 a, U64 b) { return {_mm256_xor_si256(a.v, b.v)}; }
COARSEGRAD_INLINE U64 lane_index_u64() { return {_mm256_setr_epi64x(0, 1, 2, 3)}; }
COARSEGRAD_INLINE U64 xor3(U64 a, U64 b, U64 c) { return a ^ b ^ c; }
/// (a & b) | c.
COARSEGRAD_INLINE I32 and_or(I32 a, I32 b, I32 c) { return (a & b) | c; }
/// (a & b) ^ c.
COARSEGRAD_INLINE I32 and_xor(I32 a, I32 b, I32 c) { return (a & b) ^ c; }
/// The 64-bit products of the lower 32 bits of the lanes.
COARSEGRAD_INLINE U64 multiply_low(U64 a, U64 b) { return {_mm256_mul_epu32(a.v, b.v)}; }
template <int k>
COARSEGRAD_INLINE U64 shift_left(U64 a) {
  return {_mm256_slli_epi64(a.v, k)};
}
template <int k>
COARSEGRAD_INLINE U64 shift_right(U64 a) {
  return {_mm256_srli_epi64(a.v, k)};
}
COARSEGRAD_INLINE I32 as_int(U64 a) { return {a.v}; }
/// Each pair of neighbouring lanes the other way round.
COARSEGRAD_INLINE I32 swap_neighbours(I32 a) { return {_mm256_shuffle_epi32(a.v, 0xB1)}; }
/// Pairs of lanes taken in turn from a and b, stored at p: a0 a1 b0 b1 a2 a3 b2 b3 ..., 2 kLanes values.
COARSEGRAD_INLINE void store_pairs_in_turn(std::int32_t* p, I32 a, I32 b) {
  const __m256i even = _mm256_unpacklo_epi64(a.v, b.v), odd = _mm256_unpackhi_epi64(a.v, b.v);
  store(p, I32{_mm256_permute2x128_si256(even, odd, 0x20)});
  store(p + kLanes, I32{_mm256_permute2x128_si256(even, odd, 0x31)});
}

COARSEGRAD_INLINE __m128 low_half(F32 a) { return _mm256_castps256_ps128(a.v); }
COARSEGRAD_INLINE __m128 high_half(F32 a) { return _mm256_extractf128_ps(a.v, 1); }

COARSEGRAD_INLINE F64 zero_f64() { return {_mm256_setzero_pd()}; }
COARSEGRAD_INLINE F64 low_f64(F32 a) { return {_mm256_cvtps_pd(low_half(a))}; }
COARSEGRAD_INLINE F64 high_f64(F32 a) { return {_mm256_cvtps_pd(high_half(a))}; }
COARSEGRAD_INLINE F64 fma(F64 a, F64 b, F64 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
COARSEGRAD_INLINE F64 operator+(F64 a, F64 b) { return {_mm256_add_pd(a.v, b.v)}; }
COARSEGRAD_INLINE void store(double* p, F64 a) { _mm256_storeu_pd(p, a.v); }

#endif

COARSEGRAD_INLINE F32 abs(F32 a) { return as_float(as_int(a) & set1(std::int32_t{0x7FFFFFFF})); }
COARSEGRAD_INLINE F32 operator-(F32 a) { return as_float(as_int(a) ^ set1(static_cast<std::int32_t>(0x80000000u))); }

/// Sum of the lanes: the upper half is added to the lower one until one is left.
COARSEGRAD_INLINE float reduce_add(F32 a) {
#ifdef __AVX512F__
  const __m256 b = _mm256_add_ps(low_half(a), high_half(a));
  const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
#else
  const __m128 c = _mm_add_ps(low_half(a), high_half(a));
#endif
  const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}

/// Largest lane.
COARSEGRAD_INLINE float reduce_max(F32 a) {
#ifdef __AVX512F__
  const __m256 b = _mm256_max_ps(low_half(a), high_half(a));
  const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
#else
  const __m128 c = _mm_max_ps(low_half(a), high_half(a));
#endif
  const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
