#pragma once
// Panels of codes, plainly: what kernels without vectors have for CodeProduct::pack (core/kernels/matmul_codes.h).
#include <cstdint>

#include "core/kernels/matmul_codes.h"

namespace coarsegrad::kernels::scalar {

/// CodeProduct::pack.
inline void pack_codes(int columns, int width, std::int64_t steps, const std::int8_t* from, std::int64_t from_row,
                       std::int8_t* to) {
  for (std::int64_t s = 0; s < steps; ++s)
    for (int j = 0; j < width; ++j)
      for (int k = 0; k < kCodesPerStep; ++k, ++to)
        *to = j < columns ? from[j * from_row + kCodesPerStep * s + k] : std::int8_t{0};
}

}  // namespace coarsegrad::kernels::scalar
