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

void philox(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, std::uint32_t* out,
            std::size_t n) {
  while (n > 0) {
    const std::size_t steps = smaller(n / (4 * kBlocks), steps_before_carry(counter, kBlocks));
    const PhiloxStream s(key, stream, counter);
    for (std::size_t i = 0; i < steps; ++i, counter += kBlocks, out += 4 * kBlocks) {
      const PhiloxWords words = philox_words(s, set1(counter) + lane_index_u64());
      store_pairs_in_turn(reinterpret_cast<std::int32_t*>(out), swap_neighbours(words.odd),
                          swap_neighbours(words.even));
    }
    n -= steps * 4 * kBlocks;
    const std::size_t rest = smaller(n, 4 * kBlocks);
    scalar::sampling.philox(key, stream, counter, out, rest);
    n -= rest;
    counter += kBlocks;
    out += rest;
  }
}

void normal(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, float* out, std::size_t n) {
  while (n > 0) {
    const std::size_t steps = smaller(n / kGroup, steps_before_carry(counter, kGaussCounters));
    const PhiloxStream s(key, stream, counter);
    for (std::size_t i = 0; i < steps; ++i, counter += kGaussCounters, out += kGroup)
      for (std::size_t lane = 0; lane < kGaussLanes; lane += kLanes) {
        const Pair pair = normal_pair(s, lane_counters(counter, lane));
        store(out + lane, pair.cosine);
        store(out + kGaussLanes + lane, pair.sine);
      }
    n -= steps * kGroup;
    const std::size_t rest = smaller(n, kGroup);
    scalar::sampling.normal(key, stream, counter, out, rest);
    n -= rest;
    counter += kGaussCounters;
    out += rest;
  }
}

}  // namespace

const Sampling sampling{philox, normal};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
