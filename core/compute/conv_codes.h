#pragma once
// Convolutions, dense layers and matrix products of integer codes: exact sums of products of activation codes,
// unsigned (0 to 255) or signed (-128 to 127), and signed weight codes (-128 to 127: binary, ternary, powers of two, up
// to 8 bits). Bitwise the same for any number of threads, and on every kernel table. In is std::uint8_t or std::int8_t.
//
// Sums never overflow: up to 65793 products of unsigned and 131071 of signed codes fit into 32 bits
// (core/kernels/matmul_codes.h), and longer sums are cut into pieces that are added up in 64 bits.
#include <cstdint>
#include <span>

#include "core/compute/bit_thresholds.h"
#include "core/compute/byte_weights.h"
#include "core/compute/conv.h"

namespace coarsegrad {

/// y = scale * (integer convolution of x and weight) + bias, layouts as in conv2d_forward. scale has one value,
/// or one per output channel; bias (out_channels) may be null. The sum is exact, then rounded to float, then
/// one fused multiply-add. Padding has code 0. Throws Error as conv2d_forward and ByteWeights::validate() do, and when
/// scale has another size.
template <class In>
void conv2d_forward_codes(const ConvShape& s, const In* x, const ByteWeights& weight, std::span<const float> scale,
                          const float* bias, ElementSink<float> y);
/// The same with weights (out_channels, kernel_h, kernel_w, in_channels / groups) that are packed for this call.
template <class In>
void conv2d_forward_codes(const ConvShape& s, const In* x, const std::int8_t* weight, std::span<const float> scale,
                          const float* bias, ElementSink<float> y);

/// y = the sums themselves. Throws Error also where an output sums more products than 32 bits hold.
template <class In>
void conv2d_sums_of_codes(const ConvShape& s, const In* x, const ByteWeights& weight, std::int32_t* y);

/// The levels of the sums (core/compute/bit_thresholds.h) as a byte each, laid out like y. Throws Error also where `t` has not
/// a channel for each output.
template <class In>
void conv2d_levels_of_codes(const ConvShape& s, const In* x, const ByteWeights& weight, const BitThresholds& t,
                            std::uint8_t* levels);
/// The levels of the sums as t.bits() planes.
template <class In>
void conv2d_planes_of_codes(const ConvShape& s, const In* x, const ByteWeights& weight, const BitThresholds& t,
                            std::uint64_t* planes);

/// y = scale * (x weight^T) + bias: x (batch, in), weight (out, in), y (batch, out). scale, bias, rounding
/// and errors are those of conv2d_forward_codes.
template <class In>
void linear_forward_codes(std::int64_t batch, std::int64_t in, std::int64_t out, const In* x, const std::int8_t* weight,
                          std::span<const float> scale, const float* bias, ElementSink<float> y);

/// c = a b^T, exactly, for sums of any length: a (m, k), b (n, k), c (m, n), row after row. Throws Error where a size
/// is negative.
template <class In>
void multiply_codes(std::int64_t m, std::int64_t n, std::int64_t k, const In* a, const std::int8_t* b, std::int64_t* c);

}  // namespace coarsegrad
