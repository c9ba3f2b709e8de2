#pragma once
// Products of bits by looking them up. Four channels of a pixel make a table of sixteen bytes: entry w is what they
// match with the four bits w of a filter. One shuffle looks up the four bits of 32 (64) filters at once, one addition
// of bytes adds them up: two instructions for 128 (256) products, whatever the bits of the activation. The tables are
// made once for each pixel and serve all taps and filters.
#include "core/kernels/bits.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr int kChannelsPerLookup = 8;                   // two tables: a byte of a plane
constexpr int kFilters = 4 * static_cast<int>(kLanes);  // bytes of a vector
#ifdef __AVX512F__
constexpr int kLookupPixels = 8;
#else
constexpr int kLookupPixels = 6;
#endif

/// What the bits of one plane of eight channels match: for each byte of them the table of the lower four and that of
/// the upper four.
struct ByteTables {
  alignas(kBitStepBytes) std::uint8_t of[2][256][kBitStepBytes];
};

constexpr std::uint8_t ones_in_four(unsigned bits) {
  return static_cast<std::uint8_t>((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1));
}

constexpr ByteTables make_byte_tables() {
  ByteTables tables{};
  for (unsigned byte = 0; byte < 256; ++byte)
    for (unsigned entry = 0; entry < kBitStepBytes; ++entry) {
      const unsigned a = byte >> (entry < 16 ? 0 : 4) & 15, w = entry & 15;
      tables.of[static_cast<int>(BitMatch::equal)][byte][entry] = ones_in_four(~(a ^ w));
      tables.of[static_cast<int>(BitMatch::both)][byte][entry] = ones_in_four(a & w);
    }
  return tables;
}

constexpr ByteTables kByteTables = make_byte_tables();

/// The tables of plane k count 2^k times.
template <int kBits>
void expand_bits(BitMatch match, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                 std::uint8_t* to) {
  const auto& tables = kByteTables.of[static_cast<int>(match)];
  const std::int64_t plane = (channels + 63) / 64 * 8, steps = (channels + kChannelsPerLookup - 1) / kChannelsPerLookup;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(planes);
  for (std::int64_t p = 0; p < pixels; ++p, bytes += kBits * plane)
    for (std::int64_t s = 0; s < steps; ++s, to += kBitStepBytes) {
      __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int k = 0; k < kBits; ++k) {
        const auto* table = reinterpret_cast<const __m256i*>(tables[bytes[k * plane + s]]);
        sum = _mm256_add_epi8(sum, _mm256_slli_epi16(_mm256_load_si256(table), k));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sum);
    }
}

void lookup_expand(BitMatch match, int bits, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                   std::uint8_t* to) {
  constexpr decltype(&expand_bits<1>) functions[] = {expand_bits<1>, expand_bits<2>, expand_bits<3>, expand_bits<4>};
  functions[bits - 1](match, pixels, channels, planes, to);
}

/// A vector of bytes, one per filter.
using Bytes = std::uint8_t __attribute__((vector_size(4 * kLanes)));
/// Half of the sums of a pixel: those of the filters in even, or in odd places.
using Halves = std::uint16_t __attribute__((vector_size(4 * kLanes)));

COARSEGRAD_INLINE Bytes low_four(Bytes a) { return a & static_cast<std::uint8_t>(15); }
COARSEGRAD_INLINE Bytes high_four(Bytes a) {
  return low_four(reinterpret_cast<Bytes>(reinterpret_cast<Halves>(a) >> 4));
}

#ifdef __AVX512F__
COARSEGRAD_INLINE Bytes load_filters(const std::uint8_t* p) { return reinterpret_cast<Bytes>(_mm512_loadu_si512(p)); }
COARSEGRAD_INLINE Bytes look_up(const std::uint8_t* table, Bytes index) {
  const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return reinterpret_cast<Bytes>(_mm512_shuffle_epi8(t, reinterpret_cast<__m512i>(index)));
}
COARSEGRAD_INLINE I32 load_halves(const std::uint16_t* p) {
  return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
COARSEGRAD_INLINE void store_in_turn(std::uint16_t* to, Halves even, Halves odd) {
  const __m512i e = reinterpret_cast<__m512i>(even), o = reinterpret_cast<__m512i>(odd);
  const __m512i low = _mm512_unpacklo_epi16(e, o), high = _mm512_unpackhi_epi16(e, o);
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi64(low, first, high));
  _mm512_storeu_si512(to + kFilters / 2, _mm512_permutex2var_epi64(low, second, high));
}
#else
COARSEGRAD_INLINE Bytes load_filters(const std::uint8_t* p) {
  return reinterpret_cast<Bytes>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
COARSEGRAD_INLINE Bytes look_up(const std::uint8_t* table, Bytes index) {
  const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return reinterpret_cast<Bytes>(_mm256_shuffle_epi8(t, reinterpret_cast<__m256i>(index)));
}
COARSEGRAD_INLINE I32 load_halves(const std::uint16_t* p) {
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
COARSEGRAD_INLINE void store_in_turn(std::uint16_t* to, Halves even, Halves odd) {
  const __m256i e = reinterpret_cast<__m256i>(even), o = reinterpret_cast<__m256i>(odd);
  const __m256i low = _mm256_unpacklo_epi16(e, o), high = _mm256_unpackhi_epi16(e, o);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + kFilters / 2), _mm256_permute2x128_si256(low, high, 0x31));
}
#endif

/// The sums of a tile for some hundreds of steps. Nothing takes their addresses, so that they can stay in registers.
template <int kPixels>
struct LookupHalves {
  Halves even[kPixels], odd[kPixels];

  COARSEGRAD_INLINE void clear() {
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) even[i] = odd[i] = Halves{};
  }
  COARSEGRAD_INLINE void add(const Bytes* bytes) {
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) {
      const Halves both = reinterpret_cast<Halves>(bytes[i]);
      even[i] += both & static_cast<std::uint16_t>(255);
      odd[i] += both >> 8;
    }
  }
};

/// The sums of a tile, which begin with the offsets and grow in place where a panel is full, and beside it where it is
/// not.
template <int kPixels>
struct LookupWords {
  const std::int32_t* from[kPixels];  // the sums as they are
  std::int32_t* to[kPixels];
  alignas(64) std::int32_t beside[kPixels][kFilters];

  COARSEGRAD_INLINE explicit LookupWords(const BitTile& t) {
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) {
      from[i] = t.offset;
      to[i] = t.columns < kFilters ? beside[i] : t.sums[i] + t.column;
    }
  }
  COARSEGRAD_INLINE void add(std::int32_t times, const LookupHalves<kPixels>& sums) {
    const I32 all = set1(times);
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) {
      std::uint16_t halves[kFilters];
      store_in_turn(halves, sums.even[i], sums.odd[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kFilters; j += static_cast<int>(kLanes))
        store(to[i] + j, load(from[i] + j) + all * load_halves(halves + j));
      from[i] = to[i];
    }
  }
  COARSEGRAD_INLINE void finish(const BitTile& t) const {
    if (t.columns == kFilters) return;
    for (int i = 0; i < kPixels; ++i)
      __builtin_memcpy(t.sums[i] + t.column, beside[i], static_cast<std::size_t>(t.columns) * sizeof(std::int32_t));
  }
};

/// sum += more. Where steps are not in a loop, g++ 12 adds up the lookups of several before their sum, and runs out of
/// registers: in order, they are added one by one.
template <bool kInOrder>
COARSEGRAD_INLINE void add_bytes(Bytes& sum, Bytes more) {
  sum += more;
  if (kInOrder) asm("" : "+v"(sum));
}

/// bytes[i] = the matches of pixel i in `steps` steps.
template <int kPixels, bool kInOrder>
COARSEGRAD_INLINE void look_up_steps(const std::uint8_t* const* pixels, std::int64_t at, std::int64_t steps,
                                     const std::uint8_t* weights, Bytes* bytes) {
  Bytes sums[kPixels];
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) sums[i] = Bytes{};
#pragma GCC unroll 2
  for (; steps > 0; --steps, at += kBitStepBytes, weights += kFilters) {
    const Bytes both = load_filters(weights), low = low_four(both), high = high_four(both);
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) add_bytes<kInOrder>(sums[i], look_up(pixels[i] + at, low));
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) add_bytes<kInOrder>(sums[i], look_up(pixels[i] + at + kBitStepBytes / 2, high));
  }
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) bytes[i] = sums[i];
}

template <int kPixels, int kBits>
void lookup_tile_of(const BitTile& t) {
  constexpr std::int64_t most = kChannelsPerLookup * ((1 << kBits) - 1);  // what a step adds
  constexpr std::int64_t steps_of_bytes = 255 / most, steps_of_halves = 65535 / most;
  const std::uint8_t* pixels[kPixels];
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) pixels[i] = t.pixels[i];
  LookupWords<kPixels> words(t);
  LookupHalves<kPixels> sums;
  for (int q = 0; q < t.planes; ++q) {
    std::int64_t room = steps_of_halves;
    sums.clear();
    for (std::int64_t r = 0; r < t.rows; ++r)
      for (std::int64_t s = 0, steps; s < t.run; s += steps) {
        steps = t.run - s < steps_of_bytes ? t.run - s : steps_of_bytes;
        if (room < steps) {
          words.add(t.scale * t.coefficient[q], sums);
          sums.clear();
          room = steps_of_halves;
        }
        room -= steps;
        Bytes bytes[kPixels];
        const std::int64_t at = r * t.pixel_row + s * kBitStepBytes;
        const std::uint8_t* weights = t.weights + q * t.plane + r * t.weight_row + s * kFilters;
        if (kBits == kMaxActivationBits && steps == steps_of_bytes)  // two, without a loop
          look_up_steps<kPixels, true>(pixels, at, steps_of_bytes, weights, bytes);
        else
          look_up_steps<kPixels, false>(pixels, at, steps, weights, bytes);
        sums.add(bytes);
      }
    words.add(t.scale * t.coefficient[q], sums);
  }
  words.finish(t);
}

template <int kBits, int kPixels>
void lookup_tile_up_to(const BitTile& t) {
  if constexpr (kPixels > 0)
    t.count == kPixels ? lookup_tile_of<kPixels, kBits>(t) : lookup_tile_up_to<kBits, kPixels - 1>(t);
}

void lookup_tile(const BitTile& t) {
  constexpr decltype(&lookup_tile_up_to<1, 1>) functions[] = {
      lookup_tile_up_to<1, kLookupPixels>, lookup_tile_up_to<2, kLookupPixels>, lookup_tile_up_to<3, kLookupPixels>,
      lookup_tile_up_to<4, kLookupPixels>};
  functions[t.bits - 1](t);
}

constexpr BitProduct kLookup{kChannelsPerLookup, kFilters, kLookupPixels, false, lookup_expand, lookup_tile};

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
