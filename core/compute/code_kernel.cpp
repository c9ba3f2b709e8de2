#include "core/compute/code_kernel.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string_view>

#include "core/base/check.h"
#include "core/compute/bit_conv.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

constexpr int kMostPlanes = 4, kNever = std::numeric_limits<int>::max();

// From how many input channels on bits are faster than bytes in a table: a row for each number of planes of the weights,
// a column for activations of 1, 2, 3 and 4 bits; and for ternary weights by a mask and a sign with activations of 1 bit,
// never in tables that do not have them.
struct BitLimits {
  std::string_view table;
  int fewest_channels[kMostPlanes][kernels::kMaxActivationBits], masked = kNever;
};

// Set by `bench_kernels --filter "product of"`, which prints both kernels' times for each shape and pair of codes, on an
// Intel Xeon of 2023 (Emerald Rapids) with two products of bytes (vpdpbusd) a cycle. The processors whose table is
// avx512vnni have one: its limits lie between what was measured and what half as many products would make of it.
constexpr BitLimits kLimits[] = {
    {"scalar", {{32, 32, 32, 32}, {32, 32, 32, 32}, {32, 32, 32, 32}, {kNever, kNever, kNever, kNever}}},
    {"avx2", {{32, 32, 32, 48}, {32, 32, 32, 32}, {32, 32, 32, 32}, {32, 32, 64, 64}}},
    {"avx512", {{48, 48, 48, 64}, {32, 32, 32, 48}, {32, 48, 48, 48}, {48, 48, 48, 64}}},
    {"avx512vnni",
     {{64, 64, 128, 128},
      {256, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever}}},
    {"avx512vpopcntdq",
     {{64, 128, 256, 256},
      {256, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever}},
     64},
    {"amx",
     {{kNever, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever},
      {kNever, kNever, kNever, kNever}}}};

// Tables that are not listed have the limits of the last one.
const BitLimits& limits_of(std::string_view table) {
  if (table == "avx512bf16") table = "avx512vpopcntdq";  // has the kernels for codes of this one
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

bool bytes_can(const ConvShape& s) { return depth_of(s) <= kernels::kMaxCodeDepth; }

}  // namespace

bool multiplies_codes(const BitCode& activation, const ConvShape& s) {
  return bits_can(BitCode::signed_bits(8), activation, s) || bytes_can(s);
}

CodeKernel fastest_code_kernel(const BitCode& weight, const BitCode& activation, const ConvShape& s) {
  const bool bits = bits_can(weight, activation, s), bytes = bytes_can(s);
  check(bits || bytes, "fastest_code_kernel: given codes of ", weight.bits, " by ", activation.bits, " bits and ",
        depth_of(s), " products per output, expected at most ", kernels::kMaxCodeDepth,
        " products, or activations of 1 to ", kernels::kMaxActivationBits, " bits without groups and dilation");
  if (bits != bytes || activation.low < 0) return bits ? CodeKernel::bits : CodeKernel::bytes;
  if (weight.bits > kMostPlanes) return CodeKernel::bytes;
  const BitLimits& limits = limits_of(active_kernels().name);
  const bool masked = weight == BitCode::ternary() && activation.bits == 1;
  const int by_planes = limits.fewest_channels[weight.bits - 1][activation.bits - 1];
  return s.in_channels >= std::min(by_planes, masked ? limits.masked : kNever) ? CodeKernel::bits : CodeKernel::bytes;
}

}  // namespace coarsegrad
