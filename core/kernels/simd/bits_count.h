#pragma once
// Products of bits by counting ones, for processors with an instruction that does it: a lane is a filter, and its sum
// grows by the ones of 64 products in three instructions.
#include "core/kernels/bits.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr int kChannelsPerWord = 64, kWordBytes = 8;
constexpr int kWordLanes = static_cast<int>(kLanes) / 2;  // filters of a vector
constexpr int kCountVectors = 4, kCountPixels = 6;        // 24 sums, 4 vectors of filters and one of the pixel
constexpr int kCountFilters = kCountVectors * kWordLanes;

COARSEGRAD_INLINE U64 load_words(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
COARSEGRAD_INLINE U64 operator&(U64 a, U64 b) { return {_mm512_and_si512(a.v, b.v)}; }
COARSEGRAD_INLINE U64 count_ones(U64 a) { return {_mm512_popcnt_epi64(a.v)}; }
COARSEGRAD_INLINE void store_low_halves(std::int32_t* to, U64 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(a.v));
}

/// A step holds one word of the only plane, and 24 bytes that nobody reads.
void count_expand(BitMatch, int, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                  std::uint8_t* to) {
  const std::int64_t words = pixels * ((channels + kChannelsPerWord - 1) / kChannelsPerWord);
  for (std::int64_t i = 0; i < words; ++i) __builtin_memcpy(to + i * kBitStepBytes, planes + i, kWordBytes);
}

/// sums[i][v] = ones in the products of one plane of the filters.
template <int kPixels, BitMatch match>
COARSEGRAD_INLINE void count_plane(const BitTile& t, int plane, U64 (&sums)[kPixels][kCountVectors]) {
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kCountVectors; ++v) sums[i][v] = set1(std::uint64_t{0});
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const std::uint8_t* weights = t.weights + plane * t.plane + r * t.weight_row;
    std::int64_t at = r * t.pixel_row;
#pragma GCC unroll 1
    for (std::int64_t s = t.run; s > 0; --s, at += kBitStepBytes, weights += kCountFilters * kWordBytes) {
      U64 w[kCountVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kCountVectors; ++v) w[v] = load_words(weights + v * kWordLanes * kWordBytes);
#pragma GCC unroll 8
      for (int i = 0; i < kPixels; ++i) {
        std::uint64_t word;
        __builtin_memcpy(&word, t.pixels[i] + at, sizeof word);
        const U64 a = set1(word);
#pragma GCC unroll 4
        for (int v = 0; v < kCountVectors; ++v)
          sums[i][v] = sums[i][v] + count_ones(match == BitMatch::equal ? a ^ w[v] : a & w[v]);
      }
    }
  }
}

template <int kPixels, BitMatch match>
void count_tile_of(const BitTile& t) {
  alignas(64) std::int32_t total[kPixels][kCountFilters] = {};
  const std::int32_t products = match == BitMatch::equal  // ones are the places that differ
                                    ? static_cast<std::int32_t>(t.rows * t.run * kChannelsPerWord)
                                    : 0;
  for (int q = 0; q < t.planes; ++q) {
    U64 sums[kPixels][kCountVectors];
    count_plane<kPixels, match>(t, q, sums);
    const I32 times = set1(match == BitMatch::equal ? -t.coefficient[q] : t.coefficient[q]);
    const I32 all = set1(t.coefficient[q] * products);
    for (int i = 0; i < kPixels; ++i) {
      std::int32_t ones[kCountFilters];
      for (int v = 0; v < kCountVectors; ++v) store_low_halves(ones + v * kWordLanes, sums[i][v]);
      for (int j = 0; j < kCountFilters; j += static_cast<int>(kLanes))
        store(total[i] + j, load(total[i] + j) + times * load(ones + j) + all);
    }
  }
  for (int i = 0; i < kPixels; ++i)
    for (int j = 0; j < t.columns; ++j) t.sums[i][j] = t.scale * total[i][j] + t.offset[j];
}

template <int kPixels>
void count_tile_up_to(const BitTile& t) {
  if constexpr (kPixels > 0) {
    if (t.count != kPixels) return count_tile_up_to<kPixels - 1>(t);
    t.match == BitMatch::equal ? count_tile_of<kPixels, BitMatch::equal>(t) : count_tile_of<kPixels, BitMatch::both>(t);
  }
}

void count_tile(const BitTile& t) { count_tile_up_to<kCountPixels>(t); }

constexpr BitProduct kCount{kChannelsPerWord, kCountFilters, kCountPixels, count_expand, count_tile};

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
