#include "core/compute/code_weights.h"

#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

std::variant<ByteWeights, BitWeights> packed(const BitCode& weight, const BitCode& activation, const ConvShape& s,
                                             const std::int8_t* values) {
  if (fastest_code_kernel(weight, activation, s) == CodeKernel::bytes) return ByteWeights(s, values, activation.high());
  return BitWeights(weight, activation, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels, values);
}

std::int64_t count(const ConvShape& s) { return s.out_channels * s.kernel_h * s.kernel_w * (s.in_channels / s.groups); }

bool same_weights(const ConvShape& a, const ConvShape& b) {
  return a.out_channels == b.out_channels && a.kernel_h == b.kernel_h && a.kernel_w == b.kernel_w &&
         a.in_channels == b.in_channels && a.groups == b.groups && a.dilation_h == b.dilation_h &&
         a.dilation_w == b.dilation_w;
}

}  // namespace

CodeWeights::CodeWeights(const BitCode& activation, const ConvShape& s, const std::int8_t* values)
    : table_(&active_kernels()),
      weight_(narrowest_code(count(s), values)),
      activation_(activation),
      layer_(s),
      packed_(packed(weight_, activation, s, values)) {}

CodeKernel CodeWeights::kernel() const {
  return std::holds_alternative<BitWeights>(packed_) ? CodeKernel::bits : CodeKernel::bytes;
}

bool CodeWeights::serve(const BitCode& activation, const ConvShape& s) const {
  return table_ == &active_kernels() && activation_ == activation && same_weights(layer_, s) &&
         fastest_code_kernel(weight_, activation, s) == kernel();
}

void CodeWeights::forward(const ConvShape& s, const std::uint8_t* x, std::span<const float> scale, const float* bias,
                          ElementSink<float> y) const {
  const auto* const with_sign = reinterpret_cast<const std::int8_t*>(x);
  if (const auto* bytes = std::get_if<ByteWeights>(&packed_))
    return activation_.low < 0 ? conv2d_forward_codes(s, with_sign, *bytes, scale, bias, y)
                               : conv2d_forward_codes(s, x, *bytes, scale, bias, y);
  const BitWeights& bits = std::get<BitWeights>(packed_);
  const std::int64_t pixels = s.batch * s.height * s.width;
  const Scratch<std::uint64_t> planes(static_cast<std::size_t>(packed_words(activation_.bits, pixels, s.in_channels)));
  pack_values(activation_, pixels, s.in_channels, with_sign, planes.data());
  bit_conv2d_scaled(s, planes.data(), bits, scale, bias, y);
}

}  // namespace coarsegrad
