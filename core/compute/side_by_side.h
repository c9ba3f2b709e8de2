#pragma once
// Four rows of codes side by side: what the kernels multiply in one step (core/kernels/matmul_codes.h).
#include <algorithm>
#include <cstdint>

#include "core/kernels/matmul_codes.h"

namespace coarsegrad {

/// The bit that makes an unsigned byte k the signed one k - 128.
inline constexpr std::uint8_t kSignBit = 0x80;

/// to[4 i + k] = from[k][i] ^ flip for i < n and k < 4; zeros for a row that is null.
inline void side_by_side(const std::uint8_t* const (&from)[kernels::kCodesPerStep], std::int64_t n, std::uint8_t flip,
                         std::uint8_t* to) {
  const std::uint8_t *a = from[0], *b = from[1], *c = from[2], *d = from[3];
  if (a && b && c && d) {
    for (std::int64_t i = 0; i < n; ++i) {
      to[4 * i] = static_cast<std::uint8_t>(a[i] ^ flip);
      to[4 * i + 1] = static_cast<std::uint8_t>(b[i] ^ flip);
      to[4 * i + 2] = static_cast<std::uint8_t>(c[i] ^ flip);
      to[4 * i + 3] = static_cast<std::uint8_t>(d[i] ^ flip);
    }
    return;
  }
  for (int k = 0; k < kernels::kCodesPerStep; ++k)
    for (std::int64_t i = 0; i < n; ++i)
      to[kernels::kCodesPerStep * i + k] = from[k] ? static_cast<std::uint8_t>(from[k][i] ^ flip) : std::uint8_t{0};
}

}  // namespace coarsegrad
