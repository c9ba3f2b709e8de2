#pragma once
// Transposition of 32-bit elements in registers.
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

/// Eight rows of eight. Bits are moved, not looked at: any 32-bit elements may stand behind the pointers.
COARSEGRAD_INLINE void transpose_block(const float* from, std::int64_t from_row, float* to, std::int64_t to_row) {
  __m256 quads[8],
      pairs[8];  // first half of a row beside that of the row four further down; then second halves
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const float* p = from + i * from_row + 4 * half;
      quads[4 * half + i] =
          _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * from_row), 1);
    }
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(quads[i], quads[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(quads[i], quads[i + 1]);
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const __m256* p = pairs + 4 * half;
    float* out = to + 4 * half * to_row;
    _mm256_storeu_ps(out, _mm256_shuffle_ps(p[0], p[2], 0x44));
    _mm256_storeu_ps(out + to_row, _mm256_shuffle_ps(p[0], p[2], 0xEE));
    _mm256_storeu_ps(out + 2 * to_row, _mm256_shuffle_ps(p[1], p[3], 0x44));
    _mm256_storeu_ps(out + 3 * to_row, _mm256_shuffle_ps(p[1], p[3], 0xEE));
  }
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
