#include "core/compute/power_conv.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"

namespace coarsegrad {
namespace {

constexpr int kByteBase = 256;

// The largest number of so many bytes, each from -128 to 127.
constexpr std::int32_t largest_of(int bytes) {
  std::int32_t largest = 0;
  for (int i = 0; i < bytes; ++i) largest = kByteBase * largest + 127;
  return largest;
}
static_assert(power_value(7) <= largest_of(1) && power_value(8) > largest_of(1));
static_assert(power_value(15) <= largest_of(2) && power_value(16) > largest_of(2));
static_assert(power_value(kMostPowers) <= largest_of(3));

std::int64_t filter_size(const ConvShape& s) { return s.kernel_h * s.kernel_w * (s.in_channels / s.groups); }

// Bytes that hold the largest power that occurs; checks the codes on the way.
int bytes_for(const ConvShape& s, int magnitudes, const std::int8_t* codes) {
  s.validate("PowerWeights");
  check(magnitudes >= 1 && magnitudes <= kMostPowers, "PowerWeights: given ", magnitudes, " magnitudes, expected 1 to ",
        kMostPowers);
  int most = 0;
  for (std::int64_t i = 0; i < s.out_channels * filter_size(s); ++i) most = std::max(most, std::abs(int{codes[i]}));
  check(most <= magnitudes, "PowerWeights: given a code of size ", most, ", expected 0 to ", magnitudes);
  int bytes = 1;
  while (power_value(most) > largest_of(bytes)) ++bytes;
  return bytes;
}

ConvShape with_bytes(ConvShape s, int bytes) {
  s.out_channels *= bytes;
  return s;
}

// (group, byte, output, tap, channel): the lowest byte of each weight first, every one from -128 to 127.
std::vector<std::int8_t> bytes_of(const ConvShape& s, int bytes, const std::int8_t* codes) {
  const std::int64_t size = s.out_channels / s.groups * filter_size(s);  // of a group
  std::vector<std::int8_t> all(static_cast<std::size_t>(s.groups * bytes * size));
  for (std::int64_t g = 0; g < s.groups; ++g)
    for (std::int64_t i = 0; i < size; ++i) {
      std::int32_t value = power_value(codes[g * size + i]);
      for (int byte = 0; byte < bytes; ++byte) {
        const auto lowest = static_cast<std::int8_t>(value & (kByteBase - 1));
        all[static_cast<std::size_t>((g * bytes + byte) * size + i)] = lowest;
        value = (value - lowest) / kByteBase;
      }
    }
  return all;
}

}  // namespace

PowerWeights::PowerWeights(const ConvShape& s, int magnitudes, const std::int8_t* codes)
    : bytes_(bytes_for(s, magnitudes, codes)), weights_(with_bytes(s, bytes_), bytes_of(s, bytes_, codes).data()) {}

template <class In>
void conv2d_forward_powers(const ConvShape& s, const In* x, const PowerWeights& weight, std::span<const float> scale,
                           const float* bias, float* y) {
  const int bytes = weight.bytes();
  if (bytes == 1) return conv2d_forward_codes(s, x, weight.weights(), scale, bias, y);
  const auto scales = static_cast<std::int64_t>(scale.size());
  check(scales == 1 || scales == s.out_channels, "conv2d_forward_powers: given ", scales,
        " scales, expected 1 or one for each of ", s.out_channels, " channels");
  const ConvShape wide = with_bytes(s, bytes);
  wide.validate("conv2d_forward_powers");
  const std::int64_t pixels = s.batch * s.out_height() * s.out_width(), outputs = s.out_channels / s.groups;
  const Scratch<std::int32_t> sums(static_cast<std::size_t>(pixels * wide.out_channels));
  conv2d_sums_of_codes(wide, x, weight.weights(), sums.data());
  parallel_ranges(pixels, std::max(kTaskElements / std::max(wide.out_channels, std::int64_t{1}), std::int64_t{1}),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t p = begin; p < end; ++p)
                      for (std::int64_t o = 0; o < s.out_channels; ++o) {
                        const std::int32_t* lowest =
                            sums.data() + p * wide.out_channels + o / outputs * outputs * bytes + o % outputs;
                        std::int64_t sum = 0;
                        for (int byte = bytes - 1; byte >= 0; --byte) sum = kByteBase * sum + lowest[byte * outputs];
                        y[p * s.out_channels + o] = std::fma(scale[static_cast<std::size_t>(scales == 1 ? 0 : o)],
                                                             static_cast<float>(sum), bias ? bias[o] : 0.f);
                      }
                  });
}

template void conv2d_forward_powers(const ConvShape&, const std::uint8_t*, const PowerWeights&, std::span<const float>,
                                    const float*, float*);
template void conv2d_forward_powers(const ConvShape&, const std::int8_t*, const PowerWeights&, std::span<const float>,
                                    const float*, float*);

}  // namespace coarsegrad
