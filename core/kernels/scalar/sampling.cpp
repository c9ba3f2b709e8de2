#include "core/kernels/sampling.h"

#include <bit>
#include <cmath>

#include "core/kernels/box_muller.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), section 4.3, ten rounds.
void philox_block(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, std::uint32_t out[4]) {
  std::uint32_t x[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                        static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)};
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * x[0], p1 = std::uint64_t{0xCD9E8D57} * x[2];
    const std::uint32_t y0 = static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0;
    const std::uint32_t y2 = static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1;
    x[0] = y0;
    x[1] = static_cast<std::uint32_t>(p1);
    x[2] = y2;
    x[3] = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  for (int i = 0; i < 4; ++i) out[i] = x[i];
}

void philox(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, std::uint32_t* out, std::size_t n) {
  std::uint32_t block[4];
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 4 == 0) philox_block(key, stream, counter + i / 4, block);
    out[i] = block[i % 4];
  }
}

template <std::size_t terms>
float polynomial(const float (&c)[terms], float x) {
  float y = c[terms - 1];
  for (std::size_t i = terms - 1; i-- > 0;) y = std::fma(y, x, c[i]);
  return y;
}

struct Pair {
  float cosine, sine;
};

Pair box_muller_pair(std::uint32_t a, std::uint32_t b) {
  using namespace box_muller;
  const float f = static_cast<float>(static_cast<std::int32_t>((a & 0x7FFFFFFFu) | 1u));  // u 2^31
  const std::int32_t pattern = std::bit_cast<std::int32_t>(f);
  const std::int32_t e = (pattern - kSplit) & static_cast<std::int32_t>(0xFF800000u);
  const float x = std::fma(std::bit_cast<float>(pattern - e), 0x1p-31f, -1.0f);
  const float r = std::sqrt(std::fma(static_cast<float>(e), kExponent, x * polynomial(kLog, x)));
  const float t = static_cast<float>(static_cast<std::int32_t>(b)) * 0x1p-31f, t2 = t * t;
  const float signed_r = std::bit_cast<float>(std::bit_cast<std::uint32_t>(r) ^ (a & 0x80000000u));
  return {signed_r * polynomial(kCos, t2), (r * t) * polynomial(kSin, t2)};
}

void normal_group(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, float out[2 * kGaussLanes]) {
  for (std::size_t lane = 0; lane < kGaussLanes; ++lane) {
    std::uint32_t x[4];
    philox_block(key, stream, counter + lane / 2, x);
    const std::size_t first = lane % 2 == 0 ? 1 : 0;
    const Pair pair = box_muller_pair(x[first], x[first + 2]);
    out[lane] = pair.cosine;
    out[kGaussLanes + lane] = pair.sine;
  }
}

void normal(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, float* out, std::size_t n) {
  float group[2 * kGaussLanes];
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t lane = i % (2 * kGaussLanes);
    if (lane == 0) normal_group(key, stream, counter + i / (2 * kGaussLanes) * kGaussCounters, group);
    out[i] = group[lane];
  }
}

}  // namespace

const Sampling sampling{philox, normal};

}  // namespace coarsegrad::kernels::scalar
