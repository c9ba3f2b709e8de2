#include "core/compute/code_kernel.h"

#include "core/base/check.h"
#include "core/kernels/bits.h"
#include "core/kernels/matmul_codes.h"

namespace coarsegrad {
namespace {

std::int64_t depth_of(const ConvShape& s) { return s.kernel_h * s.kernel_w * (s.in_channels / s.groups); }

bool bits_can(const BitCode& weight, const BitCode& activation, const ConvShape& s) {
  constexpr std::int64_t kMostChannels = 64;  // that fill up the last step of a tap
  const std::int64_t depth = s.kernel_h * s.kernel_w * (s.in_channels + kMostChannels);
  return s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1 && weight.high() <= 127 &&
         activation.bits <= kernels::kMaxActivationBits &&
         depth < (std::int64_t{1} << 30) >> (weight.bits + activation.bits + 2);
}

bool bytes_can(const BitCode& activation, const ConvShape& s) {
  return activation.low == 0 && depth_of(s) <= kernels::kMaxCodeDepth;
}

}  // namespace

CodeKernel fastest_code_kernel(const BitCode& weight, const BitCode& activation, const ConvShape& s) {
  constexpr int kMostPlanes = 3;
  constexpr std::int64_t kFewestChannels = 32;
  const bool bits = bits_can(weight, activation, s), bytes = bytes_can(activation, s);
  check(bits || bytes, "fastest_code_kernel: given codes of ", weight.bits, " by ", activation.bits,
        " bits that no kernel multiplies, expected activations of 1 to ", kernels::kMaxActivationBits,
        " bits without groups and dilation, or unsigned ones");
  if (bits != bytes) return bits ? CodeKernel::bits : CodeKernel::bytes;
  return weight.bits <= kMostPlanes && s.in_channels >= kFewestChannels ? CodeKernel::bits : CodeKernel::bytes;
}

}  // namespace coarsegrad
