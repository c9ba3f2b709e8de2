#include "core/kernels/sampling.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), section 4.3, ten rounds.
void philox_block(std::uint64_t key, std::uint64_t counter, std::uint32_t out[4]) {
  std::uint32_t x[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0};
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

void philox(std::uint64_t key, std::uint64_t counter, std::uint32_t* out, std::size_t n) {
  std::uint32_t block[4];
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 4 == 0) philox_block(key, counter + i / 4, block);
    out[i] = block[i % 4];
  }
}

}  // namespace

const Sampling sampling{philox};

}  // namespace coarsegrad::kernels::scalar
