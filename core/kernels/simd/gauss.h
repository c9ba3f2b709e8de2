#pragma once
// Philox 4x32-10 and Box and Muller's transform on vectors, the same numbers as scalar/sampling.cpp.
// The four words of a counter's state live in the lower halves of four vectors of 64-bit lanes, with rubbish
// above them that the 32-bit multiplication ignores: a round is two products, two shifts and two (avx2: four)
// xors, and the last round packs two words of each lane without further ado. core/kernels/README.md counts
// the operations.
#include "core/kernels/box_muller.h"
#include "core/kernels/sampling.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr std::uint64_t kMultiply0 = 0xD2511F53, kMultiply1 = 0xCD9E8D57, kLow = 0xFFFFFFFF;

/// What is the same for all blocks of a stream whose counters agree in their upper 32 bits: the ten round
/// keys, and the parts of the first three rounds that do not see the lower 32 bits.
struct PhiloxStream {
  std::uint64_t key0[10], key1[10];
  std::uint64_t first, second0, second2, third2;

  PhiloxStream(std::uint64_t key, std::uint64_t stream, std::uint64_t counter) {
    for (std::uint64_t round = 0; round < 10; ++round) {
      key0[round] = (key + round * 0x9E3779B9) & kLow;
      key1[round] = ((key >> 32) + round * 0xBB67AE85) & kLow;
    }
    const std::uint64_t product1 = kMultiply1 * (stream & kLow);
    const std::uint64_t product0 = kMultiply0 * ((product1 >> 32) ^ (counter >> 32) ^ key0[0]);
    first = (stream >> 32) ^ key1[0];
    second0 = (product1 & kLow) ^ key0[1];
    second2 = (product0 >> 32) ^ key1[1];
    third2 = (product0 & kLow) ^ key1[2];
  }
};

/// The blocks of kLanes / 2 counters. Lane 2 i of `odd` and `even` holds words 1 and 3 of block i, lane 2 i +
/// 1 words 0 and 2.
struct PhiloxWords {
  I32 odd, even;
};

COARSEGRAD_INLINE PhiloxWords philox_words(const PhiloxStream& s, U64 counter) {
  const U64 multiply0 = set1(kMultiply0), multiply1 = set1(kMultiply1);
  U64 x3 = multiply_low(multiply0, counter);
  U64 x2 = shift_right<32>(x3) ^ set1(s.first);
  U64 x1 = multiply_low(multiply1, x2);
  U64 x0 = shift_right<32>(x1) ^ set1(s.second0);
  x2 = x3 ^ set1(s.second2);
  U64 product0 = multiply_low(multiply0, x0), product1 = multiply_low(multiply1, x2);
  x0 = xor3(shift_right<32>(product1), x1, set1(s.key0[2]));
  x2 = shift_right<32>(product0) ^ set1(s.third2);
#pragma GCC unroll 6
  for (int round = 3; round < 9; ++round) {
    x1 = product1;
    x3 = product0;
    product0 = multiply_low(multiply0, x0);
    product1 = multiply_low(multiply1, x2);
    x0 = xor3(shift_right<32>(product1), x1, set1(s.key0[round]));
    x2 = xor3(shift_right<32>(product0), x3, set1(s.key1[round]));
  }
  x1 = shift_left<32>(product1);
  x3 = shift_left<32>(product0);
  product0 = multiply_low(multiply0, x0);
  product1 = multiply_low(multiply1, x2);
  return {as_int(xor3(product1, x1, set1(s.key0[9] << 32))),
          as_int(xor3(product0, x3, set1(s.key1[9] << 32)))};
}

template <std::size_t terms>
COARSEGRAD_INLINE F32 polynomial(const float (&c)[terms], F32 x) {
  F32 y = set1(c[terms - 1]);
#pragma GCC unroll 8
  for (std::size_t i = 1; i < terms; ++i) y = fma(y, x, set1(c[terms - 1 - i]));
  return y;
}

struct Pair {
  F32 cosine, sine;
};

COARSEGRAD_INLINE Pair box_muller_pair(I32 a, I32 b) {
  using namespace box_muller;
  const F32 f = to_float(and_or(a, set1(std::int32_t{0x7FFFFFFF}), set1(std::int32_t{1})));
  const I32 e = (as_int(f) - set1(kSplit)) & set1(static_cast<std::int32_t>(0xFF800000u));
  const F32 x = fma(as_float(as_int(f) - e), set1(0x1p-31f), set1(-1.0f));
  const F32 r = sqrt(fma(to_float(e), set1(kExponent), x * polynomial(kLog, x)));
  const F32 t = to_float(b) * set1(0x1p-31f), t2 = t * t;
  const F32 signed_r = as_float(and_xor(a, set1(static_cast<std::int32_t>(0x80000000u)), as_int(r)));
  return {signed_r * polynomial(kCos, t2), (r * t) * polynomial(kSin, t2)};
}

/// The variates of kLanes lanes of one group: the counters are those lanes' own.
COARSEGRAD_INLINE Pair normal_pair(const PhiloxStream& s, U64 counter) {
  const PhiloxWords words = philox_words(s, counter);
  return box_muller_pair(words.odd, words.even);
}

/// The counters of lanes [lane, lane + kLanes) of the group that starts at `counter`.
COARSEGRAD_INLINE U64 lane_counters(std::uint64_t counter, std::size_t lane) {
  return set1(std::uint64_t{counter + lane / 2}) + lane_index_u64();
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
