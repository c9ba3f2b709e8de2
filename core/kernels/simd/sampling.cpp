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

// n values from `counter` on: vectors of `values` values from `counters` counters, several at a time by `many` and one
// by `one`, as far as a PhiloxStream goes; what is left over, and the step across its end, by the reference.
template <class T, class Many, class One>
COARSEGRAD_INLINE void draw(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, T* out, std::size_t n,
                            std::size_t values, std::size_t counters, Many many, One one,
                            void (*reference)(std::uint64_t, std::uint64_t, std::uint64_t, T*, std::size_t)) {
  while (n > 0) {
    const std::size_t steps = smaller(n / values, steps_before_carry(counter, counters));
    const PhiloxStream s(key, stream, counter);
    std::size_t i = 0;
    for (; i + kChains <= steps; i += kChains) many(s, counter + i * counters, out + i * values);
    for (; i < steps; ++i) one(s, counter + i * counters, out + i * values);
    n -= steps * values;
    out += steps * values;
    counter += steps * counters;
    const std::size_t rest = smaller(n, values);
    reference(key, stream, counter, out, rest);
    n -= rest;
    out += rest;
    counter += counters;
  }
}

void philox(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, std::uint32_t* out, std::size_t n) {
  draw(key, stream, counter, out, n, 4 * kBlocks, kBlocks, store_words<kChains>, store_words<1>,
       scalar::sampling.philox);
}

void normal(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, float* out, std::size_t n) {
  draw(key, stream, counter, out, n, kGroup, kGaussCounters, store_groups<kChains>, store_groups<1>,
       scalar::sampling.normal);
}

}  // namespace

const Sampling sampling{philox, normal};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
