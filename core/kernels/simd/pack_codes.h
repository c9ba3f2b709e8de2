#pragma once
// Panels of codes (core/kernels/matmul_codes.h) for all that multiplies four of them in a step.
#include "core/kernels/matmul_codes.h"
#include "core/kernels/simd/transpose.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

/// CodeProduct::pack. Four codes are one 32-bit element: B is transposed.
inline void pack(int columns, int width, std::int64_t steps, const std::int8_t* from, std::int64_t from_row,
                 std::int8_t* to) {
  const int whole_columns = from_row % kCodesPerStep == 0 ? columns / 8 * 8 : 0;
  const std::int64_t whole_steps = steps / 8 * 8;
  for (int j = 0; j < whole_columns; j += 8)
    for (std::int64_t s = 0; s < whole_steps; s += 8)
      transpose_block(reinterpret_cast<const float*>(from + j * from_row + kCodesPerStep * s), from_row / kCodesPerStep,
                      reinterpret_cast<float*>(to + (s * width + j) * kCodesPerStep), width);
  for (std::int64_t s = 0; s < steps; ++s)
    for (int j = s < whole_steps ? whole_columns : 0; j < width; ++j) {
      std::int8_t* four = to + (s * width + j) * kCodesPerStep;
      const std::int8_t* codes = from + j * from_row + kCodesPerStep * s;
      for (int k = 0; k < kCodesPerStep; ++k) four[k] = j < columns ? codes[k] : std::int8_t{0};
    }
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
