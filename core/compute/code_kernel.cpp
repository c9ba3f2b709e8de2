#include "core/compute/code_kernel.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "core/base/check.h"
#include "core/compute/bit_conv.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

// Where bits are faster than bytes in a table: with so many input channels, up to so many planes of weights.
struct BitLimits {
  std::string_view table;
  std::int64_t fewest_channels;
  int most_planes[kernels::kMaxActivationBits];  // for activations of 1, 2, 3 and 4 bits
};

// Set by `bench_kernels --filter "product of"`, which prints both kernels' times for each shape and pair of codes.
constexpr BitLimits kLimits[] = {
    {"scalar", 32, {3, 3, 3, 3}},          {"avx2", 32, {3, 3, 3, 3}},
    {"avx512", 32, {3, 3, 3, 3}},          {"avx512vnni", 32, {3, 3, 3, 3}},
    {"avx512vpopcntdq", 32, {3, 3, 3, 3}}, {"amx", 32, {0, 0, 0, 0}}};  // 1024 products of bytes a cycle

// Tables that are not listed have the limits of the last one.
const BitLimits& limits_of(std::string_view table) {
  const auto* found = std::ranges::find(kLimits, table, &BitLimits::table);
  return found == std::end(kLimits) ? *std::prev(found) : *found;
}

std::int64_t depth_of(const ConvShape& s) { return s.kernel_h * s.kernel_w * (s.in_channels / s.groups); }

bool bits_can(const BitCode& weight, const BitCode& activation, const ConvShape& s) {
  constexpr std::int64_t kMostChannels = 64;  // that fill up the last step of a tap
  const auto [least, most] = std::minmax({s.out_channels, s.kernel_h, s.kernel_w, s.in_channels});
  return s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1 && weight.high() <= 127 && least >= 1 &&
         most <= kMostBitExtent && activation.bits <= kernels::kMaxActivationBits &&
         s.kernel_h * s.kernel_w * (s.in_channels + kMostChannels) < (std::int64_t{1} << 30) >>
             (weight.bits + activation.bits + 2);
}

bool bytes_can(const BitCode& activation, const ConvShape& s) {
  return activation.low == 0 && depth_of(s) <= kernels::kMaxCodeDepth;
}

}  // namespace

bool multiplies_codes(const BitCode& activation, const ConvShape& s) {
  return bits_can(BitCode::signed_bits(8), activation, s) || bytes_can(activation, s);
}

CodeKernel fastest_code_kernel(const BitCode& weight, const BitCode& activation, const ConvShape& s) {
  const bool bits = bits_can(weight, activation, s), bytes = bytes_can(activation, s);
  check(bits || bytes, "fastest_code_kernel: given codes of ", weight.bits, " by ", activation.bits,
        " bits that no kernel multiplies, expected activations of 1 to ", kernels::kMaxActivationBits,
        " bits without groups and dilation, or unsigned ones");
  if (bits != bytes) return bits ? CodeKernel::bits : CodeKernel::bytes;
  const BitLimits& limits = limits_of(active_kernels().name);
  return weight.bits <= limits.most_planes[activation.bits - 1] && s.in_channels >= limits.fewest_channels
             ? CodeKernel::bits
             : CodeKernel::bytes;
}

}  // namespace coarsegrad
