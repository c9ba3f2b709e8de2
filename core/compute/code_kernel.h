#pragma once
// Which kernel multiplies codes by codes: planes of bits (core/compute/bit_conv.h) or bytes (core/compute/conv_codes.h).
// Both are exact, so the choice changes no number, only the time.
#include <cstdint>

#include "core/compute/bit_planes.h"
#include "core/compute/conv.h"

namespace coarsegrad {

/// What multiplies codes.
enum class CodeKernel : std::uint8_t { bytes, bits };

/// Whether a kernel multiplies activations of this code by weights of signed bytes, whatever those are: layers are
/// computed in integers where it is so, in training as in deployment, and in floats elsewhere.
bool multiplies_codes(const BitCode& activation, const ConvShape& s);

/// The kernel that is the faster one for these codes and this shape in the table that is active now, among those that
/// can: bits have neither groups nor dilation, activations of up to 4 and weights of up to 8 bits, and sums below 2^30.
/// Signed activations are bytes only where bits cannot. Chosen by measurement (core/kernels/README.md). Throws Error
/// where neither can.
CodeKernel fastest_code_kernel(const BitCode& weight, const BitCode& activation, const ConvShape& s);

}  // namespace coarsegrad
