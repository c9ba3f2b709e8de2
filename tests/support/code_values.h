#pragma once
// Values of a code, for tests of products of codes.
#include <cstdint>
#include <random>
#include <vector>

#include "core/compute/bit_planes.h"

namespace coarsegrad::testing {

// n of them, each level as often as the others.
inline std::vector<std::int8_t> values_of(const BitCode& code, std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<std::int8_t> values(static_cast<std::size_t>(n));
  for (auto& v : values)
    v = static_cast<std::int8_t>(code.low + code.step * static_cast<int>(bits() / 8 % unsigned(code.levels)));
  return values;
}

}  // namespace coarsegrad::testing
