#pragma once
// Pooling and sums of integer codes of one byte, channels last, in integers. In is std::uint8_t or std::int8_t. Bitwise
// the same for any number of threads and on every kernel table; planes of bits have functions of their own
// (core/compute/bit_planes.h).
#include <cstdint>

#include "core/compute/pool.h"

namespace coarsegrad {

/// y = the largest code of each window; padding never wins. Throws Error as PoolShape::validate() does.
template <class In>
void max_pool_codes(const PoolShape& s, const In* x, In* y);

/// sums (batch, channels) = the codes of all pixels of an image, added up; x: (batch, pixels, channels). Throws Error
/// where a size is negative and where sums could leave 32 bits.
template <class In>
void sum_codes(std::int64_t batch, std::int64_t pixels, std::int64_t channels, const In* x, std::int32_t* sums);

/// y = a + b, for n codes of one grid.
template <class In>
void add_codes(std::int64_t n, const In* a, const In* b, std::int16_t* y);

/// y = a_scale * a + b_scale * b, for n codes each of a grid of its own: the bits of both arrays of floats added.
template <class In>
void add_scaled_codes(std::int64_t n, const In* a, float a_scale, const In* b, float b_scale, float* y);

}  // namespace coarsegrad
