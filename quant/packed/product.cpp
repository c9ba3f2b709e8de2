#include "quant/packed/product.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/compute/code_kernel.h"
#include "core/compute/elementwise.h"
#include "core/compute/gemm.h"

namespace coarsegrad::packed {
namespace {

const float* data_or_null(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace

const char* name_of(ProductKernel kernel) {
  constexpr const char* names[] = {"floats", "bytes", "bits"};
  return names[static_cast<std::size_t>(kernel)];
}

Product::Product(const Operation& operation, const Kind& expected, const Shape& sample)
    : operation_(operation), expected_(expected), sample_(sample) {
  const ConvShape s = shape_of(1);
  if (!expected.is_coded() || !has_codes(weight()) || !coarsegrad::multiplies_codes(expected.code, s)) {
    values_ = weight_values(weight());
    if (std::holds_alternative<Conv2d>(operation_)) packed_.emplace<0>(FloatWeights(s, values_.data()));
    return;
  }
  codes_ = weight_codes(weight());
  for (const float scale : codes_.scales) factors_.push_back(expected.scale * scale);
  const BitCode code = narrowest_code(std::ssize(codes_.codes), codes_.codes.data());
  if (fastest_code_kernel(code, expected.code, s) == CodeKernel::bytes)
    packed_.emplace<ByteWeights>(s, codes_.codes.data(), expected.code.high());
  else
    packed_.emplace<BitWeights>(code, expected.code, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels,
                                codes_.codes.data());
}

Value Product::run(const Value& x, const Target& to) const {
  if (!multiplies_codes(x)) return multiply_floats(x.decoded(), to);
  const std::int64_t batch = x.shape()[0];
  const Value from = x.as(reads());
  Value y = to.value(output_shape(batch), {});
  if (const auto* bits = std::get_if<BitWeights>(&packed_))
    bit_conv2d_scaled(shape_of(batch), from.planes(), *bits, factors_, data_or_null(bias()), y.data());
  else
    with_codes(from, [&](const auto* codes) {
      conv2d_forward_codes(shape_of(batch), codes, std::get<ByteWeights>(packed_), factors_, data_or_null(bias()),
                           y.data());
    });
  return y;
}

SumRange Product::sums() const {
  const std::int64_t depth = weight().shape.numel() / channels(), low = expected_.code.low,
                     high = expected_.code.high();
  SumRange all{0, 0};
  for (std::int64_t o = 0; o < channels(); ++o) {
    SumRange own{0, 0};
    for (std::int64_t i = o * depth; i < (o + 1) * depth; ++i) {
      const auto code = std::int64_t{codes_.codes[static_cast<std::size_t>(i)]};
      own.lowest += std::min({code * low, code * high, std::int64_t{0}});
      own.highest += std::max({code * low, code * high, std::int64_t{0}});
    }
    all = {std::min(all.lowest, own.lowest), std::max(all.highest, own.highest)};
  }
  return all;
}

// The epilogue of the kernels of core/kernels/matmul_codes.h.
void Product::outputs_of_sums(std::int64_t rows, const float* sums, float* outputs) const {
  const FlushDenormals flush;
  const std::int64_t n = channels();
  for (std::int64_t i = 0; i < rows * n; ++i) {
    const auto c = static_cast<std::size_t>(i % n);
    outputs[i] = std::fma(factors_[factors_.size() == 1 ? 0 : c], sums[i], bias().empty() ? 0.f : bias()[c]);
  }
}

void Product::levels(const Value& x, const BitThresholds& t, std::uint8_t* levels) const {
  const ConvShape s = shape_of(x.shape()[0]);
  const Value from = x.as(reads());
  if (const auto* bits = std::get_if<BitWeights>(&packed_))
    bit_conv2d_levels(s, from.planes(), *bits, t, levels);
  else
    with_codes(from,
               [&](const auto* codes) { conv2d_levels_of_codes(s, codes, std::get<ByteWeights>(packed_), t, levels); });
}

void Product::planes(const Value& x, const BitThresholds& t, std::uint64_t* planes) const {
  const ConvShape s = shape_of(x.shape()[0]);
  const Value from = x.as(reads());
  if (const auto* bits = std::get_if<BitWeights>(&packed_))
    bit_conv2d_planes(s, from.planes(), *bits, t, planes);
  else
    with_codes(from,
               [&](const auto* codes) { conv2d_planes_of_codes(s, codes, std::get<ByteWeights>(packed_), t, planes); });
}

const std::vector<float>& Product::bias() const {
  if (const auto* conv = std::get_if<Conv2d>(&operation_)) return conv->bias;
  return std::get<Linear>(operation_).bias;
}

ConvShape Product::shape_of(std::int64_t batch) const {
  if (const auto* conv = std::get_if<Conv2d>(&operation_)) return conv_shape(*conv, batch, sample_);
  return bit_linear_shape(batch, weight().shape[1], channels());
}

Shape Product::output_shape(std::int64_t batch) const {
  const ConvShape s = shape_of(batch);
  if (std::holds_alternative<Linear>(operation_)) return {batch, channels()};
  return {batch, s.out_height(), s.out_width(), s.out_channels};
}

// A layer that expects codes has its weight as floats only where a NaN takes their place.
Value Product::multiply_floats(const Value& x, const Target& to) const {
  const std::vector<float> made = values_.empty() ? weight_values(weight()) : std::vector<float>();
  const float* const w = values_.empty() ? made.data() : values_.data();
  const std::int64_t rows = x.shape()[0];
  Value y = to.value(output_shape(rows), {});
  if (std::holds_alternative<Conv2d>(operation_)) {
    if (kernel() == ProductKernel::floats)
      std::get<0>(packed_)->forward(rows, x.data(), data_or_null(bias()), y.data());
    else
      conv2d_forward<float>(shape_of(rows), x.data(), w, data_or_null(bias()), y.data());
    return y;
  }
  const std::int64_t in = x.shape()[1], out = channels();
  gemm<float>(rows, out, in, {x.data(), in, false}, {w, in, true}, y.data(), out);
  if (!bias().empty()) add_row<float>(rows, out, bias().data(), y.data(), y.data());
  return y;
}

}  // namespace coarsegrad::packed
