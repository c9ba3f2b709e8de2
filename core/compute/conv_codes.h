#pragma once
// Forward pass of convolutions and dense layers on integer codes: exact sums of products of unsigned
// activation codes (0 to 255) and signed weight codes (-128 to 127: binary, ternary, up to 8 bits). Bitwise
// the same for any number of threads, and on every kernel table.
#include <cstdint>
#include <span>

#include "core/compute/conv.h"

namespace coarsegrad {

/// y = scale * (integer convolution of x and weight) + bias, layouts as in conv2d_forward. scale has one value,
/// or one per output channel; bias (out_channels) may be null. The sum is exact, then rounded to float, then
/// one fused multiply-add. Padding has code 0. Throws Error as conv2d_forward does, when scale has another
/// size, and when an output sums more than 65793 products, which could leave the range of 32 bits.
void conv2d_forward_codes(const ConvShape& s, const std::uint8_t* x, const std::int8_t* weight,
                          std::span<const float> scale, const float* bias, float* y);

/// y = scale * (x weight^T) + bias: x (batch, in), weight (out, in), y (batch, out). scale, bias, rounding
/// and errors are those of conv2d_forward_codes.
void linear_forward_codes(std::int64_t batch, std::int64_t in, std::int64_t out, const std::uint8_t* x,
                          const std::int8_t* weight, std::span<const float> scale, const float* bias, float* y);

}  // namespace coarsegrad
