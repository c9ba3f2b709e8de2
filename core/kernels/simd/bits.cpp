#include "core/kernels/bits.h"

#include "core/kernels/simd/bits_lookup.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"
#ifdef __AVX512VPOPCNTDQ__
#include "core/kernels/simd/bits_count.h"
#endif

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

#ifdef __AVX512VPOPCNTDQ__
constexpr const BitProduct& kOneBit = kCount;
#else
constexpr const BitProduct& kOneBit = kLookup;
#endif

constexpr std::int64_t kWord = 64;

#ifdef __AVX512F__
/// Bit k of 64 codes, kLift = 7 - k.
template <int kLift>
COARSEGRAD_INLINE std::uint64_t plane_of(const std::uint8_t* codes) {
  return _mm512_movepi8_mask(_mm512_slli_epi16(_mm512_loadu_si512(codes), kLift));
}
COARSEGRAD_INLINE void store_low_bytes(std::uint8_t* to, I32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(a.v));
}
#else
template <int kLift>
COARSEGRAD_INLINE std::uint32_t plane_of_32(const std::uint8_t* codes) {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_slli_epi16(v, kLift)));
}
/// Bit k of 64 codes, kLift = 7 - k.
template <int kLift>
COARSEGRAD_INLINE std::uint64_t plane_of(const std::uint8_t* codes) {
  return plane_of_32<kLift>(codes) | static_cast<std::uint64_t>(plane_of_32<kLift>(codes + 32)) << 32;
}
COARSEGRAD_INLINE void store_low_bytes(std::uint8_t* to, I32 a) {
  const __m256i bytes =
      _mm256_shuffle_epi8(a.v, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                                                12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  const __m128i eight = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), eight);
}
#endif

/// The planes k and below of 64 codes.
template <int k>
COARSEGRAD_INLINE void split_word(int bits, const std::uint8_t* codes, std::int64_t words, std::uint64_t* planes) {
  if (k < bits) planes[k * words] = plane_of<7 - k>(codes);
  if constexpr (k > 0) split_word<k - 1>(bits, codes, words, planes);
}

void split(int bits, std::int64_t pixels, std::int64_t channels, const std::uint8_t* codes, std::uint64_t* planes) {
  const std::int64_t words = (channels + kWord - 1) / kWord;
  for (std::int64_t p = 0; p < pixels; ++p, codes += channels, planes += bits * words) {
    std::int64_t c = 0;
    for (; c + kWord <= channels; c += kWord)
      split_word<kMaxWeightPlanes - 1>(bits, codes + c, words, planes + c / kWord);
    if (c == channels) continue;
    std::uint8_t last[kWord] = {};
    __builtin_memcpy(last, codes + c, static_cast<std::size_t>(channels - c));
    split_word<kMaxWeightPlanes - 1>(bits, last, words, planes + c / kWord);
  }
}

bool levels(std::int64_t n, int low, int shift, int most, const std::int8_t* values, std::uint8_t* levels) {
  constexpr auto lanes = static_cast<std::int64_t>(sizeof(Bytes));
  const auto lowest = static_cast<std::uint8_t>(low), highest = static_cast<std::uint8_t>(most);
  const auto lost = static_cast<std::uint8_t>(shift);  // bits that a shift by 0 or 1 drops
  std::int64_t i = 0;
  Bytes wrong{};
  for (; i + lanes <= n; i += lanes) {
    Bytes above;
    __builtin_memcpy(&above, values + i, sizeof above);
    above -= lowest;
    const Bytes level = shift == 0 ? above : above >> 1;
    wrong |= (above & lost) | reinterpret_cast<Bytes>(level > highest);
    __builtin_memcpy(levels + i, &level, sizeof level);
  }
  std::uint8_t any = 0;
  for (int k = 0; k < lanes; ++k) any = static_cast<std::uint8_t>(any | wrong[k]);
  for (; i < n; ++i) {
    const auto above = static_cast<std::uint8_t>(static_cast<std::uint8_t>(values[i]) - lowest);
    levels[i] = static_cast<std::uint8_t>(above >> shift);
    any = static_cast<std::uint8_t>(any | (above & lost) | (levels[i] > highest ? 1 : 0));
  }
  return any == 0;
}

COARSEGRAD_INLINE I32 passed(int count, I32 x, const std::int32_t* bounds, std::int64_t bounds_row, std::size_t n) {
  const I32 one = set1(std::int32_t{1}), none = set1(std::int32_t{0});
  I32 sum = none;
  for (int k = 0; k < count; ++k, bounds += bounds_row)
    sum = sum + select(x > (n < kLanes ? load_tail(bounds, n) : load(bounds)), one, none);
  return sum;
}

void threshold(std::int64_t channels, int count, const std::int32_t* sums, const std::int32_t* flip,
               const std::int32_t* bounds, std::int64_t bounds_row, std::uint8_t* codes) {
  constexpr auto lanes = static_cast<std::int64_t>(kLanes);
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes)
    store_low_bytes(codes + c, passed(count, load(sums + c) ^ load(flip + c), bounds + c, bounds_row, kLanes));
  if (c == channels) return;
  const std::size_t n = static_cast<std::size_t>(channels - c);
  std::uint8_t last[kLanes];
  store_low_bytes(last, passed(count, load_tail(sums + c, n) ^ load_tail(flip + c, n), bounds + c, bounds_row, n));
  __builtin_memcpy(codes + c, last, n);
}

#ifdef __AVX512F__
COARSEGRAD_INLINE std::uint64_t bits_of(I32 x, I32 bound) { return _mm512_cmpgt_epi32_mask(x.v, bound.v); }
#else
COARSEGRAD_INLINE std::uint64_t bits_of(I32 x, I32 bound) {
  const __m256 passed = _mm256_castsi256_ps(_mm256_cmpgt_epi32(x.v, bound.v));
  return static_cast<std::uint32_t>(_mm256_movemask_ps(passed));
}
#endif

void compare(std::int64_t channels, const std::int32_t* sums, const std::int32_t* flip, const std::int32_t* bounds,
             std::uint64_t* plane) {
  constexpr auto lanes = static_cast<std::int64_t>(kLanes);
  for (std::int64_t begin = 0; begin < channels; begin += kWord, ++plane) {
    const std::int64_t n = channels - begin < kWord ? channels - begin : kWord;
    std::uint64_t word = 0;
    std::int64_t c = 0;
    for (; c + lanes <= n; c += lanes) {
      const std::int64_t at = begin + c;
      word |= bits_of(load(sums + at) ^ load(flip + at), load(bounds + at)) << c;
    }
    if (c < n) {
      const std::int64_t at = begin + c;
      const auto rest = static_cast<std::size_t>(n - c);
      const std::uint64_t passed =
          bits_of(load_tail(sums + at, rest) ^ load_tail(flip + at, rest), load_tail(bounds + at, rest));
      word |= (passed & ((std::uint64_t{1} << rest) - 1)) << c;
    }
    *plane = word;
  }
}

COARSEGRAD_INLINE F32 level_of(I32 sum, F32 slope, F32 start, F32 levels) {
  return min(levels, max(zero(), ceil(fma(slope, to_float(sum), start))));
}

void line(std::int64_t channels, int levels, const std::int32_t* sums, const float* slope, const float* start,
          std::uint8_t* codes) {
  constexpr auto lanes = static_cast<std::int64_t>(kLanes);
  const F32 top = set1(static_cast<float>(levels));
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes)
    store_low_bytes(codes + c, to_int(level_of(load(sums + c), load(slope + c), load(start + c), top)));
  if (c == channels) return;
  const std::size_t n = static_cast<std::size_t>(channels - c);
  std::uint8_t last[kLanes];
  store_low_bytes(last,
                  to_int(level_of(load_tail(sums + c, n), load_tail(slope + c, n), load_tail(start + c, n), top)));
  __builtin_memcpy(codes + c, last, n);
}

void scale(std::int64_t channels, const std::int32_t* sums, const float* factors, const float* bias, float* y) {
  constexpr auto lanes = static_cast<std::int64_t>(kLanes);
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes)
    store(y + c, fma(load(factors + c), to_float(load(sums + c)), bias ? load(bias + c) : zero()));
  if (c == channels) return;
  const std::size_t n = static_cast<std::size_t>(channels - c);
  const F32 last = bias ? load_tail(bias + c, n) : zero();
  store_tail(y + c, fma(load_tail(factors + c, n), to_float(load_tail(sums + c, n)), last), n);
}

}  // namespace

const Bits bits{kOneBit, kLookup, split, levels, threshold, compare, line, scale};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
