#pragma once
// Convolutions and dense layers of a packed model: their weights as kernels read them, and the choice of the kernel.
#include <cstdint>
#include <span>
#include <vector>

#include "quant/packed/model.h"
#include "quant/packed/value.h"

namespace coarsegrad::packed {

/// What multiplies in a layer. A further kernel is a further entry, chosen in Product::kernel_for().
enum class ProductKernel {
  floats,  ///< conv2d_forward and gemm (core/compute/conv.h, gemm.h)
  bytes    ///< conv2d_forward_codes (core/compute/conv_codes.h): unsigned codes by signed ones
};
/// "floats", "bytes".
const char* name_of(ProductKernel kernel);

/// How values come in, as far as the choice of a kernel depends on it.
enum class InputKind {
  floats,       ///< numbers
  codes,        ///< 0 to 255, times a scale
  signed_codes  ///< -128 to 127, times a scale
};

/// One convolution or dense layer.
class Product {
 public:
  /// Refers to the operation, a Conv2d or Linear that check_model() found sound.
  Product(const Operation& operation, InputKind expected);

  /// The kernel for such an input. A training multiplies as integers under the same condition (core/ops_linear.cpp),
  /// and both have to change together.
  ProductKernel kernel_for(InputKind input) const;
  /// The output, with scales and bias.
  Value run(const Value& x) const;

  // What thresholds need, where the kernel multiplies codes.

  /// The least and the largest sum of products of these weights with codes from 0 to `highest_code`.
  struct Range {
    std::int64_t lowest, highest;
  };
  Range sums_of(int highest_code) const;
  /// The sums alone, as floats: scale 1, no bias. x has codes.
  Value sums(const Value& x) const;
  /// The output for sums of inputs of this scale, (rows, channels) both.
  void outputs_of_sums(std::int64_t rows, const float* sums, float input_scale, float* outputs) const;
  /// Whether outputs never fall while sums rise.
  bool rises() const;
  /// Output channels.
  std::int64_t channels() const { return weight().shape[0]; }

 private:
  const Weight& weight() const { return *weight_of(operation_); }
  const std::vector<float>& bias() const;
  std::int64_t depth() const { return weight().shape.numel() / weight().shape[0]; }
  Shape output_shape(const Shape& input) const;
  std::vector<float> scales(float input_scale) const;
  Value multiply_codes(const Value& x, std::span<const float> scales, const float* bias) const;
  Value multiply_floats(const Value& x) const;

  const Operation& operation_;
  WeightCodes codes_;          // empty where the weights have none
  std::vector<float> values_;  // empty where codes are expected to be multiplied
};

/// The kind of a value.
InputKind kind_of(const Value& x);

}  // namespace coarsegrad::packed
