#include "core/kernels/sampling.h"

#include "core/kernels/simd/gauss.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr std::size_t kBlocks = kLanes / 2;  // Philox blocks in a vector
constexpr std::size_t kGroup = 2 * kGaussLanes;

std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

/// How many steps of `stride` counters fit before the lower 32 bits of the counter come round to 0: a
/// PhiloxStream serves those. The step across is left to the reference.
std::size_t steps_before_carry(std::uint64_t counter, std::size_t stride) {
  return ((kLow - (counter & kLow)) + 1) / stride;
}

/// The blocks of `chains` vectors of counters, four words each.
template <int chains>
COARSEGRAD_INLINE void store_words(const PhiloxStream& s, std::uint64_t counter, std::uint32_t* out) {
  U64 counters[chains];
  for (int i = 0; i < chains; ++i)
    counters[i] = set1(counter + static_cast<std::uint64_t>(i) * kBlocks) + lane_index_u64();
  const PhiloxWords<chains> words = philox_words(s, counters);
  for (int i = 0; i < chains; ++i)
    store_pairs_in_turn(reinterpret_cast<std::int32_t*>(out) + static_cast<std::size_t>(i) * 4 * kBlocks,
                        swap_neighbours(words.odd[i]), swap_neighbours(words.even[i]));
}

template <int chains>
COARSEGRAD_INLINE void store_groups(const PhiloxStream& s, std::uint64_t counter, float* out) {
  for (std::size_t lane = 0; lane < kGaussLanes; lane += kLanes) {
    const Pairs<chains> pairs = normal_pairs<chains>(s, counter, lane);
    for (int i = 0; i < chains; ++i) {
      float* group = out + static_cast<std::size_t>(i) * kGroup + lane;
      store(group, pairs.cosine[i]);
      store(group + kGaussLanes, pairs.sine[i]);
    }
  }
}

void philox(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, std::uint32_t* out, std::size_t n) {
  constexpr std::size_t kWords = 4 * kBlocks;
  while (n > 0) {
    const std::size_t steps = smaller(n / kWords, steps_before_carry(counter, kBlocks));
    const PhiloxStream s(key, stream, counter);
    std::size_t i = 0;
    for (; i + kChains <= steps; i += kChains) store_words<kChains>(s, counter + i * kBlocks, out + i * kWords);
    for (; i < steps; ++i) store_words<1>(s, counter + i * kBlocks, out + i * kWords);
    n -= steps * kWords;
    out += steps * kWords;
    counter += steps * kBlocks;
    const std::size_t rest = smaller(n, kWords);
    scalar::sampling.philox(key, stream, counter, out, rest);
    n -= rest;
    out += rest;
    counter += kBlocks;
  }
}

void normal(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, float* out, std::size_t n) {
  while (n > 0) {
    const std::size_t steps = smaller(n / kGroup, steps_before_carry(counter, kGaussCounters));
    const PhiloxStream s(key, stream, counter);
    std::size_t i = 0;
    for (; i + kChains <= steps; i += kChains) store_groups<kChains>(s, counter + i * kGaussCounters, out + i * kGroup);
    for (; i < steps; ++i) store_groups<1>(s, counter + i * kGaussCounters, out + i * kGroup);
    n -= steps * kGroup;
    out += steps * kGroup;
    counter += steps * kGaussCounters;
    const std::size_t rest = smaller(n, kGroup);
    scalar::sampling.normal(key, stream, counter, out, rest);
    n -= rest;
    out += rest;
    counter += kGaussCounters;
  }
}

}  // namespace

const Sampling sampling{philox, normal};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
