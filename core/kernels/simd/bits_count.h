#pragma once
// Products of bits by counting ones, for processors with an instruction that does it. A lane is a filter. Two words of
// 64 products are added to a plane of ones by a full adder, whose carries alone are counted: five instructions for them,
// and six where weights are a mask and a sign.
#include "core/kernels/bits.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr int kChannelsPerWord = 64, kWordBytes = 8;
constexpr int kWordLanes = static_cast<int>(kLanes) / 2;  // filters of a vector
constexpr int kCountVectors = 2, kCountPixels = 6;        // 12 counts, 12 planes of ones
constexpr int kCountFilters = kCountVectors * kWordLanes;

COARSEGRAD_INLINE U64 load_words(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
COARSEGRAD_INLINE U64 count_ones(U64 a) { return {_mm512_popcnt_epi64(a.v)}; }
COARSEGRAD_INLINE U64 broadcast_word(const std::uint8_t* p) {
  std::uint64_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return set1(word);
}

/// ones ^ (the products of a and w).
template <BitMatch match>
COARSEGRAD_INLINE U64 add_products(U64 ones, U64 a, U64 w) {
  constexpr int function = match == BitMatch::equal ? 0x96 : 0x78;  // ones ^ a ^ w, ones ^ (a & w)
  return {_mm512_ternarylogic_epi64(ones.v, a.v, w.v, function)};
}
/// The carries of ones + p + q from some = ones ^ p and all = ones ^ p ^ q: where ones and p differ, that of q.
COARSEGRAD_INLINE U64 carries(U64 some, U64 all, U64 ones) {
  return {_mm512_ternarylogic_epi64(some.v, all.v, ones.v, 0x3A)};  // some ? ~all : ones
}
/// Products with weights that are a mask and a sign.
COARSEGRAD_INLINE U64 masked_products(U64 a, U64 mask, U64 sign) {
  return {_mm512_ternarylogic_epi64(a.v, sign.v, mask.v, 0x28)};  // (a ^ sign) & mask
}
COARSEGRAD_INLINE U64 majority(U64 a, U64 b, U64 c) { return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0xE8)}; }
/// The lower halves of the lanes of two vectors, one after another.
COARSEGRAD_INLINE I32 lower_halves(U64 a, U64 b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return {_mm512_permutex2var_epi32(a.v, even, b.v)};
}

/// A step holds one word of the only plane, and 24 bytes that nobody reads.
void count_expand(BitMatch, int, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                  std::uint8_t* to) {
  const std::int64_t words = pixels * ((channels + kChannelsPerWord - 1) / kChannelsPerWord);
  for (std::int64_t i = 0; i < words; ++i) __builtin_memcpy(to + i * kBitStepBytes, planes + i, kWordBytes);
}

/// The ones of a tile's products: twice `pairs`, and those in `ones`.
template <int kPixels>
struct CountSums {
  U64 pairs[kPixels][kCountVectors], ones[kPixels][kCountVectors];

  COARSEGRAD_INLINE void clear() {
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < kCountVectors; ++v) pairs[i][v] = ones[i][v] = set1(std::uint64_t{0});
  }

  /// Two steps.
  template <BitMatch match>
  COARSEGRAD_INLINE void add_two(const std::uint8_t* const* pixels, std::int64_t at, const std::uint8_t* weights) {
    U64 w[2 * kCountVectors];
#pragma GCC unroll 4
    for (int v = 0; v < 2 * kCountVectors; ++v) w[v] = load_words(weights + v * kWordLanes * kWordBytes);
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) {
      const U64 a = broadcast_word(pixels[i] + at), b = broadcast_word(pixels[i] + at + kBitStepBytes);
#pragma GCC unroll 2
      for (int v = 0; v < kCountVectors; ++v) {
        const U64 some = add_products<match>(ones[i][v], a, w[v]);
        const U64 all = add_products<match>(some, b, w[v + kCountVectors]);
        pairs[i][v] = pairs[i][v] + count_ones(carries(some, all, ones[i][v]));
        ones[i][v] = all;
      }
    }
  }
  /// One step.
  template <BitMatch match>
  COARSEGRAD_INLINE void add_one(const std::uint8_t* const* pixels, std::int64_t at, const std::uint8_t* weights) {
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) {
      const U64 a = broadcast_word(pixels[i] + at);
#pragma GCC unroll 2
      for (int v = 0; v < kCountVectors; ++v) {
        const U64 all = add_products<match>(ones[i][v], a, load_words(weights + v * kWordLanes * kWordBytes));
        pairs[i][v] = pairs[i][v] + count_ones({_mm512_andnot_si512(all.v, ones[i][v].v)});
        ones[i][v] = all;
      }
    }
  }
  /// Two steps of weights whose signs lie `plane` bytes behind their masks.
  COARSEGRAD_INLINE void add_two_masked(const std::uint8_t* const* pixels, std::int64_t at, const std::uint8_t* weights,
                                        std::int64_t plane) {
    constexpr int bytes = kWordLanes * kWordBytes;
#pragma GCC unroll 2
    for (int v = 0; v < kCountVectors; ++v) {
      const std::uint8_t* const next = weights + kCountVectors * bytes;
      const U64 mask = load_words(weights + v * bytes), sign = load_words(weights + plane + v * bytes);
      const U64 next_mask = load_words(next + v * bytes), next_sign = load_words(next + plane + v * bytes);
#pragma GCC unroll 8
      for (int i = 0; i < kPixels; ++i) {
        const U64 a = broadcast_word(pixels[i] + at), b = broadcast_word(pixels[i] + at + kBitStepBytes);
        const U64 p = masked_products(a, mask, sign), q = masked_products(b, next_mask, next_sign);
        pairs[i][v] = pairs[i][v] + count_ones(majority(ones[i][v], p, q));
        ones[i][v] = xor3(ones[i][v], p, q);
      }
    }
  }
  /// One such step.
  COARSEGRAD_INLINE void add_one_masked(const std::uint8_t* const* pixels, std::int64_t at, const std::uint8_t* weights,
                                        std::int64_t plane) {
    constexpr int bytes = kWordLanes * kWordBytes;
#pragma GCC unroll 2
    for (int v = 0; v < kCountVectors; ++v) {
      const U64 mask = load_words(weights + v * bytes), sign = load_words(weights + plane + v * bytes);
#pragma GCC unroll 8
      for (int i = 0; i < kPixels; ++i) {
        const U64 p = masked_products(broadcast_word(pixels[i] + at), mask, sign);
        pairs[i][v] = pairs[i][v] + count_ones({_mm512_and_si512(ones[i][v].v, p.v)});
        ones[i][v] = ones[i][v] ^ p;
      }
    }
  }
  /// The ones of pixel i.
  COARSEGRAD_INLINE I32 of(int i) const {
    const auto count = [&](int v) { return pairs[i][v] + pairs[i][v] + count_ones(ones[i][v]); };
    return lower_halves(count(0), count(1));
  }
};

/// Adds up the products of one plane of the filters.
template <int kPixels, BitMatch match>
COARSEGRAD_INLINE void count_plane(const BitTile& t, int plane, CountSums<kPixels>& sums) {
  constexpr int step = kCountFilters * kWordBytes;  // bytes of the filters
  const std::uint8_t* pixels[kPixels];
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) pixels[i] = t.pixels[i];
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const std::uint8_t* weights = t.weights + plane * t.plane + r * t.weight_row;
    std::int64_t at = r * t.pixel_row, s = t.run;
#pragma GCC unroll 1
    for (; s > 1; s -= 2, at += 2 * kBitStepBytes, weights += 2 * step)
      if constexpr (match == BitMatch::masked)
        sums.add_two_masked(pixels, at, weights, t.plane);
      else
        sums.template add_two<match>(pixels, at, weights);
    if (s == 0) continue;
    if constexpr (match == BitMatch::masked)
      sums.add_one_masked(pixels, at, weights, t.plane);
    else
      sums.template add_one<match>(pixels, at, weights);
  }
}

template <int kPixels, BitMatch match>
void count_tile_of(const BitTile& t) {
  const auto products = static_cast<std::int32_t>(t.rows * t.run * kChannelsPerWord);
  I32 total[kPixels];
  for (int i = 0; i < kPixels; ++i) total[i] = load(t.offset);
  for (int q = 0; q < t.planes; ++q) {
    CountSums<kPixels> sums;
    sums.clear();
    count_plane<kPixels, match>(t, q, sums);
    // Ones are the products that count, or the places that differ.
    const std::int32_t times = t.scale * t.coefficient[q];
    const I32 factor = set1(match == BitMatch::equal ? -times : times);
    const I32 all = set1(match == BitMatch::equal ? times * products : 0);
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) total[i] = total[i] + all + factor * sums.of(i);
  }
  const auto n = static_cast<std::size_t>(t.columns);
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i)
    t.columns == kCountFilters ? store(t.sums[i] + t.column, total[i]) : store_tail(t.sums[i] + t.column, total[i], n);
}

template <int kPixels>
void count_tile_up_to(const BitTile& t) {
  if constexpr (kPixels > 0) {
    if (t.count != kPixels) return count_tile_up_to<kPixels - 1>(t);
    if (t.match == BitMatch::equal) return count_tile_of<kPixels, BitMatch::equal>(t);
    t.match == BitMatch::both ? count_tile_of<kPixels, BitMatch::both>(t) : count_tile_of<kPixels, BitMatch::masked>(t);
  }
}

void count_tile(const BitTile& t) { count_tile_up_to<kCountPixels>(t); }

constexpr BitProduct kCount{kChannelsPerWord, kCountFilters, kCountPixels, true, count_expand, count_tile};

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
