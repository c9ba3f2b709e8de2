#include "quant/packed/product.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/compute/conv_codes.h"
#include "core/compute/elementwise.h"
#include "core/compute/gemm.h"
#include "core/kernels/matmul_codes.h"

namespace coarsegrad::packed {
namespace {

Shape sample_of(const Shape& batch) { return {batch.begin() + 1, batch.rank() - 1}; }

const float* data_or_null(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace

const char* name_of(ProductKernel kernel) { return kernel == ProductKernel::bytes ? "bytes" : "floats"; }

InputKind kind_of(const Value& x) {
  return !x.is_coded() ? InputKind::floats : x.with_sign() ? InputKind::signed_codes : InputKind::codes;
}

Product::Product(const Operation& operation, InputKind expected) : operation_(operation) {
  if (has_codes(weight())) codes_ = weight_codes(weight());
  if (kernel_for(expected) == ProductKernel::floats) values_ = weight_values(weight());
}

ProductKernel Product::kernel_for(InputKind input) const {
  const bool integers = input == InputKind::codes && has_codes(weight()) && depth() <= kernels::kMaxCodeDepth;
  return integers ? ProductKernel::bytes : ProductKernel::floats;
}

Value Product::run(const Value& x) const {
  if (kernel_for(kind_of(x)) == ProductKernel::bytes) return multiply_codes(x, scales(x.scale()), data_or_null(bias()));
  return multiply_floats(x.decoded());
}

Product::Range Product::sums_of(int highest_code) const {
  Range all{0, 0};
  for (std::int64_t o = 0; o < channels(); ++o) {
    std::int64_t positive = 0, negative = 0;
    for (std::int64_t i = o * depth(); i < (o + 1) * depth(); ++i) {
      const int code = codes_.codes[static_cast<std::size_t>(i)];
      (code > 0 ? positive : negative) += code;
    }
    all = {std::min(all.lowest, highest_code * negative), std::max(all.highest, highest_code * positive)};
  }
  return all;
}

Value Product::sums(const Value& x) const {
  constexpr float one = 1;
  return multiply_codes(x, std::span(&one, 1), nullptr);
}

// The epilogue of the kernels of core/kernels/matmul_codes.h.
void Product::outputs_of_sums(std::int64_t rows, const float* sums, float input_scale, float* outputs) const {
  const FlushDenormals flush;
  const std::vector<float> factors = scales(input_scale);
  const std::int64_t n = channels();
  for (std::int64_t i = 0; i < rows * n; ++i) {
    const auto c = static_cast<std::size_t>(i % n);
    outputs[i] = std::fma(factors[factors.size() == 1 ? 0 : c], sums[i], bias().empty() ? 0.f : bias()[c]);
  }
}

bool Product::rises() const {
  return std::ranges::all_of(codes_.scales, [](float scale) { return scale >= 0; });
}

const std::vector<float>& Product::bias() const {
  if (const auto* conv = std::get_if<Conv2d>(&operation_)) return conv->bias;
  return std::get<Linear>(operation_).bias;
}

Shape Product::output_shape(const Shape& input) const {
  if (const auto* conv = std::get_if<Conv2d>(&operation_)) {
    const ConvShape s = conv_shape(*conv, input[0], sample_of(input));
    return {s.batch, s.out_height(), s.out_width(), s.out_channels};
  }
  return {input[0], channels()};
}

std::vector<float> Product::scales(float input_scale) const {
  std::vector<float> all;
  for (const float scale : codes_.scales) all.push_back(input_scale * scale);
  return all;
}

Value Product::multiply_codes(const Value& x, std::span<const float> scales, const float* bias) const {
  Value y = Value::floats(output_shape(x.shape()));
  if (const auto* conv = std::get_if<Conv2d>(&operation_))
    conv2d_forward_codes(conv_shape(*conv, x.shape()[0], sample_of(x.shape())), x.codes(), codes_.codes.data(), scales,
                         bias, y.data());
  else
    linear_forward_codes(x.shape()[0], x.shape()[1], channels(), x.codes(), codes_.codes.data(), scales, bias,
                         y.data());
  return y;
}

Value Product::multiply_floats(const Value& x) const {
  const std::vector<float> made = values_.empty() ? weight_values(weight()) : std::vector<float>();
  const float* const w = values_.empty() ? made.data() : values_.data();
  Value y = Value::floats(output_shape(x.shape()));
  if (const auto* conv = std::get_if<Conv2d>(&operation_)) {
    conv2d_forward<float>(conv_shape(*conv, x.shape()[0], sample_of(x.shape())), x.data(), w, data_or_null(bias()),
                          y.data());
    return y;
  }
  const std::int64_t rows = x.shape()[0], in = x.shape()[1], out = channels();
  gemm<float>(rows, out, in, {x.data(), in, false}, {w, in, true}, y.data(), out);
  if (!bias().empty()) add_row<float>(rows, out, bias().data(), y.data(), y.data());
  return y;
}

}  // namespace coarsegrad::packed
