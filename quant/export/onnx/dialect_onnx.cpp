// ONNX alone: QuantizeLinear where it rounds as the training does, integer weights behind DequantizeLinear.
#include <numeric>

#include "quant/export/onnx/dialect.h"
#include "quant/export/onnx/layout.h"
#include "quant/packed/bits.h"

namespace coarsegrad::onnx {
namespace {

std::vector<int> integers(const packed::Weight& w) {
  const std::vector<std::int8_t> codes = packed::weight_codes(w).codes;
  return weight_order(w.shape, std::vector<int>(codes.begin(), codes.end()));
}

// The value of each number that may be packed, before the scale.
std::vector<float> list_of(const packed::Weight& w) {
  if (w.codebook == packed::Codebook::table) return w.values;
  std::vector<std::uint8_t> fields(std::size_t{1} << w.bits);
  std::iota(fields.begin(), fields.end(), std::uint8_t{0});
  packed::Weight all = w;
  all.shape = {1, std::ssize(fields)};
  all.fields = packed::pack_fields(fields, w.bits);
  all.scales = {1};
  return packed::weight_values(all);
}

// One for each output channel, or one number for all.
Shape scale_shape(const packed::Weight& w) {
  if (w.scales.size() == 1) return {};
  return w.shape.rank() == 4 ? Shape{w.shape[0], 1, 1, 1} : Shape{w.shape[0], 1};
}

class OnnxDialect : public Dialect {
 public:
  Edge pixels(Graph& g, const std::string& name, const std::string& x, float scale) const override {
    const std::string zero = g.byte(name + ".zero", 0, true);
    const std::string bytes = g.add("QuantizeLinear", {x, g.number(name + ".scale", scale), zero}, name + ".bytes");
    return {.codes = g.add("DequantizeLinear", {bytes, g.number(name + ".one", 1), zero}, name + ".codes"),
            .scale = scale,
            .with_sign = true};
  }

  Edge quantize(Graph& g, const std::string& name, const std::string& x, const packed::Quantize& o,
                int) const override {
    const auto& q = o.quantizer;
    const bool linear = q.rounding == kernels::Rounding::nearest;
    return {.codes = linear ? quantize_linear(g, name, x, q) : plain_codes(g, name, x, q),
            .scale = q.scale(),
            .with_sign = q.rounding == kernels::Rounding::sign};
  }

  Edge levels(Graph& g, const std::string& name, const std::string& x, const packed::Levels& o, int) const override {
    return {.codes = plain_codes(g, name, x, o), .scale = scale_of(o), .with_sign = true};
  }

  std::string weight_codes(Graph& g, const std::string& name, const packed::Weight& w) const override {
    const std::string packed = g.signed_integers(name + ".weight", weight_shape(w.shape), integers(w));
    return g.add("DequantizeLinear", {packed, g.number(name + ".weight.one", 1)}, name + ".weight.codes");
  }

  std::string weight_values(Graph& g, const std::string& name, const packed::Weight& w) const override {
    const Shape shape = weight_shape(w.shape);
    if (w.codebook == packed::Codebook::floats)
      return g.floats(name + ".weight", shape, weight_order(w.shape, w.values));
    return packed::has_codes(w) ? dequantized(g, name, shape, w) : looked_up(g, name, shape, w);
  }

 private:
  // QuantizeLinear divides, rounds halves to even numbers and ends at 0 and 255.
  static std::string quantize_linear(Graph& g, const std::string& name, const std::string& x,
                                     const kernels::Quantizer<float>& q) {
    const std::string alpha = g.number(name + ".alpha", q.alpha), zero = g.byte(name + ".zero", 0);
    std::string y = g.add("QuantizeLinear", {times_steps(g, name, x, q), alpha, zero}, name + ".bytes");
    if (q.levels < 255) y = g.add("Clip", {y, zero, g.byte(name + ".levels", q.levels)}, name + ".clipped");
    return g.add("DequantizeLinear", {y, g.number(name + ".one", 1), zero}, name + ".codes");
  }

  static std::string dequantized(Graph& g, const std::string& name, const Shape& shape, const packed::Weight& w) {
    const packed::WeightCodes codes = packed::weight_codes(w);
    const std::string packed = g.signed_integers(name + ".weight", shape, integers(w));
    if (codes.scales.size() == 1)
      return g.add("DequantizeLinear", {packed, g.number(name + ".weight.scale", codes.scales[0])},
                   name + ".weight.values");
    const std::string scales = g.floats(name + ".weight.scale", {std::ssize(codes.scales)}, codes.scales);
    return g.add("DequantizeLinear", {packed, scales}, name + ".weight.values", {{"axis", std::int64_t{0}}});
  }

  // Powers of two and other values that are no multiples of one number: places in a list.
  static std::string looked_up(Graph& g, const std::string& name, const Shape& shape, const packed::Weight& w) {
    const auto fields = packed::unpack_fields(w.fields, w.shape.numel(), w.bits);
    const std::string packed = g.unsigned_integers(
        name + ".weight", shape, weight_order(w.shape, std::vector<int>(fields.begin(), fields.end())));
    const std::string places =
        g.add("Cast", {packed}, name + ".weight.places", {{"to", std::int64_t{TensorProto::INT64}}});
    const std::vector<float> list = list_of(w);
    std::string values = g.add("Gather", {g.floats(name + ".weight.list", {std::ssize(list)}, list), places},
                               name + ".weight.values", {{"axis", std::int64_t{0}}});
    if (w.scales.empty()) return values;
    const std::string scales = g.floats(name + ".weight.scale", scale_shape(w), w.scales);
    return g.add("Mul", {values, scales}, name + ".weight.scaled");
  }
};

}  // namespace

std::unique_ptr<Dialect> onnx_dialect() { return std::make_unique<OnnxDialect>(); }

}  // namespace coarsegrad::onnx
