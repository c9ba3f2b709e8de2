#pragma once
// Convolutions and dense layers of a packed model: their weights as kernels read them, and the choice of the kernel.
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/compute/bit_conv.h"
#include "core/compute/conv_codes.h"
#include "core/compute/float_weights.h"
#include "quant/packed/model.h"
#include "quant/packed/value.h"

namespace coarsegrad::packed {

/// What multiplies in a layer.
enum class ProductKernel {
  floats,  ///< FloatWeights and gemm (core/compute/float_weights.h, gemm.h)
  bytes,   ///< conv2d_forward_codes (core/compute/conv_codes.h)
  bits     ///< bit_conv2d_* (core/compute/bit_conv.h): planes of bits
};
/// "floats", "bytes", "bits".
const char* name_of(ProductKernel kernel);

/// One convolution or dense layer, its weights packed for the kernel table that is active when it is made. The kernel is
/// the fastest one for the codes that are expected (core/compute/code_kernel.h); a training multiplies as integers under
/// the same condition (core/ops_linear.cpp).
class Product {
 public:
  /// Refers to the operation, a Conv2d or Linear that check_model() found sound. What comes in is expected to be of this
  /// kind, in samples of this shape.
  Product(const Operation& operation, const Kind& expected, const Shape& sample);

  /// The kernel for what is expected.
  ProductKernel kernel() const { return static_cast<ProductKernel>(packed_.index()); }
  /// The form in which that kernel reads its input.
  Form reads() const { return static_cast<Form>(packed_.index()); }
  /// Whether this value is what was expected, and codes: it is floats where there is a NaN.
  bool multiplies_codes(const Value& x) const { return kernel() != ProductKernel::floats && x.is_coded(); }
  /// The output, with scales and bias.
  Value run(const Value& x, const Target& to) const;

  // What thresholds need, where codes are multiplied.

  /// The range of the sums of products of these weights with any expected codes.
  SumRange sums() const;
  /// The output for sums, (rows, channels) both.
  void outputs_of_sums(std::int64_t rows, const float* sums, float* outputs) const;
  /// The levels of the sums, one to a byte, or as t.bits() planes. x has codes.
  void levels(const Value& x, const BitThresholds& t, std::uint8_t* levels) const;
  void planes(const Value& x, const BitThresholds& t, std::uint64_t* planes) const;
  /// Output channels.
  std::int64_t channels() const { return weight().shape[0]; }
  /// The shape of the output of so many samples.
  Shape output_shape(std::int64_t batch) const;

 private:
  const Weight& weight() const { return *weight_of(operation_); }
  const std::vector<float>& bias() const;
  ConvShape shape_of(std::int64_t batch) const;
  Value multiply_floats(const Value& x, const Target& to) const;

  const Operation& operation_;
  const Kind expected_;
  const Shape sample_;
  WeightCodes codes_;          // empty where floats are multiplied
  std::vector<float> values_,  // empty where codes are
      factors_;                // of the sums
  // In the order of ProductKernel and Form; a dense layer of floats multiplies the values as they are.
  std::variant<std::optional<FloatWeights>, ByteWeights, BitWeights> packed_;
};

}  // namespace coarsegrad::packed
