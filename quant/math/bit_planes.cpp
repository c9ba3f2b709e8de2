#include "quant/math/bit_planes.h"

#include <algorithm>
#include <bit>

#include "core/base/check.h"

namespace coarsegrad {

BitPlanes::BitPlanes(std::span<const std::uint8_t> integers, int bits)
    : size_(static_cast<std::int64_t>(integers.size())) {
  check(bits >= 1 && bits <= 8, "bit planes: given ", bits, " bits, expected 1 to 8");
  check(std::ranges::all_of(integers, [bits](std::uint8_t v) { return v >> bits == 0; }),
        "bit planes: given an integer of more than ", bits, " bits");
  planes_.assign(static_cast<std::size_t>(bits), std::vector<std::uint64_t>((integers.size() + 63) / 64));
  for (std::size_t i = 0; i < integers.size(); ++i)
    for (std::size_t m = 0; m < planes_.size(); ++m)
      planes_[m][i / 64] |= static_cast<std::uint64_t>(integers[i] >> m & 1) << i % 64;
}

std::int64_t dot(const BitPlanes& x, const BitPlanes& y) {
  check(x.size() == y.size(), "dot of bit planes: given ", x.size(), " and ", y.size(), " integers, expected as many");
  std::int64_t total = 0;
  for (std::size_t m = 0; m < x.planes_.size(); ++m)
    for (std::size_t k = 0; k < y.planes_.size(); ++k) {
      std::int64_t count = 0;
      for (std::size_t i = 0; i < x.planes_[m].size(); ++i) count += std::popcount(x.planes_[m][i] & y.planes_[k][i]);
      total += count << (m + k);
    }
  return total;
}

std::int64_t sum(const BitPlanes& x) {
  return dot(x, BitPlanes(std::vector<std::uint8_t>(static_cast<std::size_t>(x.size()), 1), 1));
}

double affine_dot(const BitPlanes& weights, const BitPlanes& activations) {
  const double n_w = (1 << weights.bits()) - 1, n_a = (1 << activations.bits()) - 1;
  return (2 * static_cast<double>(dot(weights, activations)) / n_w - static_cast<double>(sum(activations))) / n_a;
}

}  // namespace coarsegrad
