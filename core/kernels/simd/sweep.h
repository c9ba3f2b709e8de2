#pragma once
// Loops over arrays: whole vectors first, then one part of a vector. A loop body is a generic lambda that
// takes the position and `lanes`, which loads and stores that many elements. Also the narrow companions of a
// float vector: one bit, byte, 16-bit word or bfloat16 per lane. All of it is local to the translation unit, as in vec.h.
#include "core/kernels/bfloat16.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr std::int64_t kWidth = kLanes;

/// A bfloat16 per lane, in its lower 16 bits, as a float.
COARSEGRAD_INLINE F32 upper_half_as_float(I32 a) { return as_float(shift_left<16>(a)); }
/// The nearest bfloat16 of each lane, in its lower 16 bits: to_bfloat16().
COARSEGRAD_INLINE I32 upper_half_rounded(F32 a) {
  const I32 bits = as_int(a), upper = shift_right_logical<16>(bits);
  const I32 nearest = shift_right_logical<16>(bits + set1(0x7FFF) + (upper & set1(1)));
  return as_int(select(a == a, as_float(nearest), as_float(upper | set1(0x40))));
}

COARSEGRAD_INLINE double to_double(float x) { return static_cast<double>(x); }
COARSEGRAD_INLINE double to_double(Bfloat16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float wide;
  __builtin_memcpy(&wide, &bits, sizeof wide);
  return static_cast<double>(wide);
}

#ifdef __AVX512F__

struct Whole {
  static F32 load(const float* p) { return COARSEGRAD_TARGET::load(p); }
  static void store(float* p, F32 a) { COARSEGRAD_TARGET::store(p, a); }
  static I32 load(const std::uint32_t* p) { return COARSEGRAD_TARGET::load(reinterpret_cast<const std::int32_t*>(p)); }
  static I32 load(const std::uint8_t* p) {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static I32 load(const std::uint16_t* p) {
    return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static I32 load(const std::int8_t* p) {
    return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static void store(std::uint8_t* p, I32 a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
  }
  static void store(std::int8_t* p, I32 a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
  }
  static void store(std::uint16_t* p, I32 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
  }
  static Mask load_bits(const std::uint8_t* p) {
    __mmask16 m;
    __builtin_memcpy(&m, p, 2);
    return {m};
  }
  static void store_bits(std::uint8_t* p, Mask m) { __builtin_memcpy(p, &m.v, 2); }
  static F32 load(const Bfloat16* p) { return upper_half_as_float(load(&p->bits)); }
  static void store(Bfloat16* p, F32 a) { store(&p->bits, upper_half_rounded(a)); }
  static F32 fill(F32 a, F32) { return a; }
};

struct Part {
  std::size_t n;

  F32 load(const float* p) const { return load_tail(p, n); }
  void store(float* p, F32 a) const { store_tail(p, a, n); }
  I32 load(const std::uint32_t* p) const { return load_tail(reinterpret_cast<const std::int32_t*>(p), n); }
  I32 load(const std::uint8_t* p) const { return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(n).v, p))}; }
  I32 load(const std::uint16_t* p) const { return {_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n).v, p))}; }
  I32 load(const std::int8_t* p) const { return {_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n).v, p))}; }
  void store(std::uint8_t* p, I32 a) const { _mm512_mask_cvtepi32_storeu_epi8(p, first(n).v, a.v); }
  void store(std::int8_t* p, I32 a) const { _mm512_mask_cvtepi32_storeu_epi8(p, first(n).v, a.v); }
  void store(std::uint16_t* p, I32 a) const { _mm512_mask_cvtepi32_storeu_epi16(p, first(n).v, a.v); }
  Mask load_bits(const std::uint8_t* p) const {
    const unsigned high = n > 8 ? p[1] : 0u;
    return {static_cast<__mmask16>(p[0] | high << 8)};
  }
  /// Bits of lanes that are none are 0.
  void store_bits(std::uint8_t* p, Mask m) const {
    m = m & first(n);
    __builtin_memcpy(p, &m.v, n > 8 ? 2 : 1);
  }
  F32 load(const Bfloat16* p) const { return upper_half_as_float(load(&p->bits)); }
  void store(Bfloat16* p, F32 a) const { store(&p->bits, upper_half_rounded(a)); }
  /// `other` in the lanes that are none.
  F32 fill(F32 a, F32 other) const { return select(first(n), a, other); }
};

#else

struct Whole {
  static F32 load(const float* p) { return COARSEGRAD_TARGET::load(p); }
  static void store(float* p, F32 a) { COARSEGRAD_TARGET::store(p, a); }
  static I32 load(const std::uint32_t* p) { return COARSEGRAD_TARGET::load(reinterpret_cast<const std::int32_t*>(p)); }
  static I32 load(const std::uint8_t* p) {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
  }
  static I32 load(const std::uint16_t* p) {
    return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static I32 load(const std::int8_t* p) {
    return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
  }
  static void store(std::int8_t* p, I32 a) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  static void store(std::uint8_t* p, I32 a) {
    const __m128i words = packed(a);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }
  static void store(std::uint16_t* p, I32 a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed(a)); }
  static Mask load_bits(const std::uint8_t* p) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(*p), bit), bit))};
  }
  static void store_bits(std::uint8_t* p, Mask m) { *p = static_cast<std::uint8_t>(bits(m)); }
  static F32 load(const Bfloat16* p) { return upper_half_as_float(load(&p->bits)); }
  static void store(Bfloat16* p, F32 a) { store(&p->bits, upper_half_rounded(a)); }
  static F32 fill(F32 a, F32) { return a; }

 private:
  static __m128i packed(I32 a) {
    return _mm_packus_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  }
};

struct Part {
  std::size_t n;

  F32 load(const float* p) const { return load_tail(p, n); }
  void store(float* p, F32 a) const { store_tail(p, a, n); }
  I32 load(const std::uint32_t* p) const { return load_tail(reinterpret_cast<const std::int32_t*>(p), n); }
  template <class Narrow>
  I32 load(const Narrow* p) const {
    Narrow lanes[kLanes] = {};
    for (std::size_t i = 0; i < n; ++i) lanes[i] = p[i];
    return Whole::load(lanes);
  }
  template <class Narrow>
  void store(Narrow* p, I32 a) const {
    Narrow lanes[kLanes] = {};
    Whole::store(lanes, a);
    for (std::size_t i = 0; i < n; ++i) p[i] = lanes[i];
  }
  Mask load_bits(const std::uint8_t* p) const { return Whole::load_bits(p); }
  /// Bits of lanes that are none are 0.
  void store_bits(std::uint8_t* p, Mask m) const { Whole::store_bits(p, m & first(n)); }
  F32 load(const Bfloat16* p) const { return upper_half_as_float(load(&p->bits)); }
  void store(Bfloat16* p, F32 a) const { store(&p->bits, upper_half_rounded(a)); }
  /// `other` in the lanes that are none.
  F32 fill(F32 a, F32 other) const { return select(first(n), a, other); }
};

#endif

/// body(i, lanes) for the vectors at 0, kWidth, 2 kWidth, ... of n elements.
template <class Body>
COARSEGRAD_INLINE void for_vectors(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) body(i, Whole{});
  if (i < n) body(i, Part{static_cast<std::size_t>(n - i)});
}

COARSEGRAD_INLINE bool finite(double x) { return x - x == 0; }

/// sums[lane] += a, for all lanes there are.
COARSEGRAD_INLINE void add_to(double* sums, F32 a, Whole) {
#ifdef __AVX512F__
  _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), _mm512_cvtps_pd(low_half(a))));
  _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), _mm512_cvtps_pd(high_half(a))));
#else
  _mm256_storeu_pd(sums, _mm256_add_pd(_mm256_loadu_pd(sums), _mm256_cvtps_pd(low_half(a))));
  _mm256_storeu_pd(sums + 4, _mm256_add_pd(_mm256_loadu_pd(sums + 4), _mm256_cvtps_pd(high_half(a))));
#endif
}
COARSEGRAD_INLINE void add_to(double* sums, F32 a, Part part) {
  float lanes[kLanes];
  store(lanes, a);
  for (std::size_t i = 0; i < part.n; ++i) sums[i] += static_cast<double>(lanes[i]);
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
