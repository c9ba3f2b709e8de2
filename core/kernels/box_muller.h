#pragma once
// The numbers of the Gaussian transform that all tables share. Constants only: this header is included by
// code that is compiled for different instruction sets.
#include <cstdint>

namespace coarsegrad::kernels::box_muller {

/// Bit pattern of 2^31 / sqrt(2) as a float: u 2^31 is split into 2^e m with m / 2^31 in [1/sqrt(2), sqrt(2)).
constexpr std::int32_t kSplit = 0x4EB504F3;
/// -2 ln(2) / 2^23: the exponent e is kept at its place in the bits of a float.
constexpr float kExponent = -0x1.62e430p-23f;
/// -2 ln(1 + x) / x on [1/sqrt(2) - 1, sqrt(2) - 1], lowest power first: minimax in x P(x), error 7e-8.
constexpr float kLog[8] = {-0x1.fffffap+0f, 0x1.0000dep+0f, -0x1.555cb6p-1f, 0x1.ff2bbcp-2f,
                           -0x1.970306p-2f, 0x1.62f744p-2f, -0x1.503662p-2f, 0x1.9dc59ap-3f};
/// sin(pi/2 t) / t in powers of t^2 on [-1, 1]: error 1e-8.
constexpr float kSin[5] = {0x1.921fb4p+0f, -0x1.4abba0p-1f, 0x1.4664acp-4f, -0x1.31f2fep-8f, 0x1.3882cep-13f};
/// cos(pi/2 t) in powers of t^2 on [-1, 1]: error 6e-8.
constexpr float kCos[5] = {0x1.fffffep-1f, -0x1.3bd39cp+0f, 0x1.03bc26p-2f, -0x1.54dca0p-6f, 0x1.c02a34p-11f};

}  // namespace coarsegrad::kernels::box_muller
