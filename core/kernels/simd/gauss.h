#pragma once
// Philox 4x32-10 and Box and Muller's transform on vectors, the same numbers as those of scalar/sampling.cpp.
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

// A chain of dependent operations from counter to variates takes about 140 cycles, more than the processor
// can look ahead; so kChains independent ones are interleaved by hand.
constexpr int kChains = 4;

/// The blocks of kLanes / 2 counters each. Lane 2 i of `odd` and `even` holds words 1 and 3 of block i, lane
/// 2 i + 1 words 0 and 2.
template <int chains>
struct PhiloxWords {
  I32 odd[chains], even[chains];
};

template <int chains>
COARSEGRAD_INLINE PhiloxWords<chains> philox_words(const PhiloxStream& s, const U64 (&counter)[chains]) {
  const U64 multiply0 = set1(kMultiply0), multiply1 = set1(kMultiply1);
  U64 x0[chains], x1[chains], x2[chains], x3[chains];
  for (int i = 0; i < chains; ++i) x3[i] = multiply_low(multiply0, counter[i]);
  for (int i = 0; i < chains; ++i) x2[i] = shift_right<32>(x3[i]) ^ set1(s.first);
  for (int i = 0; i < chains; ++i) x1[i] = multiply_low(multiply1, x2[i]);
  for (int i = 0; i < chains; ++i) x0[i] = shift_right<32>(x1[i]) ^ set1(s.second0);
  for (int i = 0; i < chains; ++i) x2[i] = x3[i] ^ set1(s.second2);
#pragma GCC unroll 7
  for (int round = 2; round < 9; ++round) {
    for (int i = 0; i < chains; ++i) {
      const U64 product0 = multiply_low(multiply0, x0[i]), product1 = multiply_low(multiply1, x2[i]);
      x0[i] = xor3(shift_right<32>(product1), x1[i], set1(s.key0[round]));
      x2[i] = round == 2 ? shift_right<32>(product0) ^ set1(s.third2)
                         : xor3(shift_right<32>(product0), x3[i], set1(s.key1[round]));
      x1[i] = product1;
      x3[i] = product0;
    }
  }
  PhiloxWords<chains> words;
  for (int i = 0; i < chains; ++i) {
    words.odd[i] = as_int(xor3(multiply_low(multiply1, x2[i]), shift_left<32>(x1[i]), set1(s.key0[9] << 32)));
    words.even[i] = as_int(xor3(multiply_low(multiply0, x0[i]), shift_left<32>(x3[i]), set1(s.key1[9] << 32)));
  }
  return words;
}

template <int chains, std::size_t terms>
COARSEGRAD_INLINE void polynomial(const float (&c)[terms], const F32 (&x)[chains], F32 (&y)[chains]) {
  for (int i = 0; i < chains; ++i) y[i] = fma(set1(c[terms - 1]), x[i], set1(c[terms - 2]));
#pragma GCC unroll 8
  for (std::size_t term = 3; term <= terms; ++term)
    for (int i = 0; i < chains; ++i) y[i] = fma(y[i], x[i], set1(c[terms - term]));
}

template <int chains>
struct Pairs {
  F32 cosine[chains], sine[chains];
};

template <int chains>
COARSEGRAD_INLINE Pairs<chains> box_muller_pairs(const PhiloxWords<chains>& words) {
  using namespace box_muller;
  F32 x[chains], r[chains], t[chains], t2[chains], y[chains], power[chains];
  for (int i = 0; i < chains; ++i) {
    const F32 f = to_float(and_or(words.odd[i], set1(std::int32_t{0x7FFFFFFF}), set1(std::int32_t{1})));
    const I32 e = (as_int(f) - set1(kSplit)) & set1(static_cast<std::int32_t>(0xFF800000u));
    x[i] = fma(as_float(as_int(f) - e), set1(0x1p-31f), set1(-1.0f));
    power[i] = to_float(e);
    t[i] = to_float(words.even[i]) * set1(0x1p-31f);
  }
  polynomial(kLog, x, y);
  for (int i = 0; i < chains; ++i) r[i] = sqrt(fma(power[i], set1(kExponent), x[i] * y[i]));
  for (int i = 0; i < chains; ++i) t2[i] = t[i] * t[i];
  Pairs<chains> out;
  polynomial(kCos, t2, out.cosine);
  polynomial(kSin, t2, out.sine);
  for (int i = 0; i < chains; ++i) {
    const I32 signed_r = and_xor(words.odd[i], set1(static_cast<std::int32_t>(0x80000000u)), as_int(r[i]));
    out.cosine[i] = as_float(signed_r) * out.cosine[i];
    out.sine[i] = (r[i] * t[i]) * out.sine[i];
  }
  return out;
}

/// The variates of lanes [lane, lane + kLanes) of `chains` groups in turn, the first of which starts at `counter`.
template <int chains>
COARSEGRAD_INLINE Pairs<chains> normal_pairs(const PhiloxStream& s, std::uint64_t counter, std::size_t lane) {
  U64 counters[chains];
  for (int i = 0; i < chains; ++i)
    counters[i] = set1(counter + static_cast<std::uint64_t>(i) * kGaussCounters + lane / 2) + lane_index_u64();
  return box_muller_pairs(philox_words(s, counters));
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
