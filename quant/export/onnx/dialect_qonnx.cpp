// QONNX: quantizers with their scale, their bits and their rounding, or as thresholds.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/activation.h"
#include "quant/export/onnx/dialect.h"
#include "quant/export/onnx/layout.h"

namespace coarsegrad::onnx {
namespace {

// A number of bits that holds the codes without the one below -(2^(bits - 1) - 1), if that does not occur.
struct Width {
  int bits;
  bool narrow;
};
Width width_of(const std::vector<float>& codes) {
  const auto [low, high] = std::ranges::minmax(codes);
  int bits = 2;
  while (low < static_cast<float>(-(1 << (bits - 1))) || high >= static_cast<float>(1 << (bits - 1))) ++bits;
  return {bits, low > static_cast<float>(-(1 << (bits - 1)))};
}

std::string quant(Graph& g, const std::string& x, const std::string& scale, const std::string& name, const Width& width,
                  bool with_sign, const char* rounding) {
  return g.add("Quant",
               {x, scale, g.number(name + ".zero", 0), g.number(name + ".bits", static_cast<float>(width.bits))}, name,
               {{"signed", std::int64_t{with_sign}},
                {"narrow", std::int64_t{width.narrow}},
                {"rounding_mode", std::string(rounding)}},
               kQonnx);
}

// Values and codes of a weight with a scale that Quant divides by; channels are axis 0.
struct ScaledWeight {
  std::vector<float> codes, values;
  std::vector<float> scales;
};
ScaledWeight scaled(const packed::Weight& w) {
  packed::WeightCodes own = packed::weight_codes(w);
  return {weight_order(w.shape, std::vector<float>(own.codes.begin(), own.codes.end())),
          weight_order(w.shape, packed::weight_values(w)), std::move(own.scales)};
}

Shape scale_shape(const packed::Weight& w, std::size_t scales) {
  if (scales == 1) return {};
  return w.shape.rank() == 4 ? Shape{w.shape[0], 1, 1, 1} : Shape{w.shape[0], 1};
}

// A quantizer of the weight's float values that leaves them as they are.
std::string quantized(Graph& g, const std::string& name, const packed::Weight& w, const std::vector<float>& values,
                      const std::vector<float>& codes, const std::vector<float>& scales) {
  const std::string all = g.floats(name + ".weight", weight_shape(w.shape), values);
  const std::string scale = g.floats(name + ".weight.scale", scale_shape(w, scales.size()), scales);
  const std::string result = name + ".weight.quantized";
  if (w.codebook == packed::Codebook::signs) return g.add("BipolarQuant", {all, scale}, result, {}, kQonnx);
  return quant(g, all, scale, result, width_of(codes), true, "ROUND");
}

class QonnxDialect : public Dialect {
 public:
  Edge pixels(Graph& g, const std::string& name, const std::string& x, float scale) const override {
    return {.floats = quant(g, x, g.number(name + ".scale", scale), name + ".pixels", {8, false}, true, "ROUND")};
  }

  Edge quantize(Graph& g, const std::string& name, const std::string& x, const packed::Quantize& o,
                int) const override {
    const auto& q = o.quantizer;
    if (q.rounding == kernels::Rounding::sign)
      return {.floats = g.add("BipolarQuant", {x, g.number(name + ".scale", q.scale())}, name, {}, kQonnx)};
    if (q.steps != 1 || q.levels != (1 << o.bits) - 1)  // Quant would divide by a rounded alpha / steps
      return {.floats = times(g, plain_codes(g, name, x, q), q.scale(), name)};
    return {.floats = quant(g, x, g.number(name + ".scale", q.scale()), name, {o.bits, false}, false,
                            q.rounding == kernels::Rounding::up ? "CEIL" : "ROUND")};
  }

  Edge levels(Graph& g, const std::string& name, const std::string& x, const packed::Levels& o, int) const override {
    return {.floats = times(g, plain_codes(g, name, x, o), scale_of(o), name)};
  }

  std::string weight_codes(Graph& g, const std::string& name, const packed::Weight& w) const override {
    const ScaledWeight all = scaled(w);
    return quantized(g, name, w, all.codes, all.codes, {1});
  }

  std::string weight_values(Graph& g, const std::string& name, const packed::Weight& w) const override {
    if (!packed::has_codes(w))
      return g.floats(name + ".weight", weight_shape(w.shape), weight_order(w.shape, packed::weight_values(w)));
    const ScaledWeight all = scaled(w);
    if (std::ranges::all_of(all.scales, [](float s) { return s > 0; }))
      return quantized(g, name, w, all.values, all.codes, all.scales);
    const std::string scales = g.floats(name + ".weight.factor", scale_shape(w, all.scales.size()), all.scales);
    return g.add("Mul", {quantized(g, name, w, all.codes, all.codes, {1}), scales}, name + ".weight.scaled");
  }
};

// The layouts of values behind MultiThreshold, by their number of axes. It would guess without.
std::string layout_of(int rank) { return rank == 4 ? "NCHW" : rank == 2 ? "NC" : rank == 3 ? "NWC" : "NHWC"; }

// out = factor * (number of thresholds that x reaches) + offset.
struct Count {
  float factor, offset;
  std::string type;
};
Count counted(bool with_sign, int levels) {
  if (with_sign) return {2, -1, "BIPOLAR"};
  return {1, 0, "UINT" + std::to_string(std::bit_width(static_cast<unsigned>(levels)))};
}

std::string multi_threshold(Graph& g, const std::string& name, const std::string& x, const Shape& shape,
                            const std::vector<float>& thresholds, const Count& count, int rank) {
  return g.add("MultiThreshold", {x, g.floats(name + ".thresholds", shape, thresholds)}, name + ".codes",
               {{"out_dtype", count.type},
                {"out_scale", count.factor},
                {"out_bias", count.offset},
                {"data_layout", layout_of(rank)}},
               kQonnx);
}

// The least float that is rounded to each code from 1 on, found by asking the quantizer. Numbers that are not negative
// are in the order of their bits.
std::vector<float> least_floats(const kernels::Quantizer<float>& q) {
  if (q.rounding == kernels::Rounding::sign) return {0};
  const auto n = static_cast<std::size_t>(q.levels);
  std::vector<std::uint32_t> low(n, 0), high(n, std::bit_cast<std::uint32_t>(std::numeric_limits<float>::max()));
  std::vector<float> x(n);
  std::vector<std::uint8_t> codes(n);
  const FlushDenormals flush;
  while (low != high) {
    const auto middle = [&](std::size_t k) { return low[k] + (high[k] - low[k]) / 2; };
    for (std::size_t k = 0; k < n; ++k) x[k] = std::bit_cast<float>(middle(k));
    quantize_forward<float>(q.levels, x.data(), q, {}, nullptr, codes.data(), nullptr);
    for (std::size_t k = 0; k < n; ++k) {
      if (low[k] == high[k]) continue;
      const bool reached = codes[k] > k;
      (reached ? high[k] : low[k]) = reached ? middle(k) : middle(k) + 1;
    }
  }
  std::ranges::transform(low, x.begin(), [](std::uint32_t bits) { return std::bit_cast<float>(bits); });
  return x;
}

// A jump of several codes is as many equal thresholds.
std::vector<float> thresholds_of(const packed::Levels& o) {
  if (o.binary) return o.sizes;
  std::vector<float> all;
  for (std::size_t k = 0; k < o.sizes.size(); ++k)
    all.insert(all.end(), k < 2 ? 1 : std::size_t{1} << (k - 1), o.sizes[k]);
  std::vector<float> both;
  for (auto t = all.rbegin(); t != all.rend(); ++t)
    both.push_back(std::nextafter(-*t, std::numeric_limits<float>::infinity()));
  both.insert(both.end(), all.begin(), all.end());
  return both;
}

class ThresholdsDialect : public QonnxDialect {
 public:
  Edge pixels(Graph& g, const std::string& name, const std::string& x, float scale) const override {
    const std::string quotient = g.add("Div", {x, g.number(name + ".scale", scale)}, name + ".quotient");
    return {.codes = quant(g, quotient, g.number(name + ".one", 1), name + ".codes", {8, false}, true, "ROUND"),
            .scale = scale,
            .with_sign = true};
  }

  Edge quantize(Graph& g, const std::string& name, const std::string& x, const packed::Quantize& o,
                int rank) const override {
    const auto& q = o.quantizer;
    const std::vector<float> at = least_floats(q);
    const bool with_sign = q.rounding == kernels::Rounding::sign;
    const Count count = counted(with_sign, q.levels);
    return {.codes = multi_threshold(g, name, x, {1, std::ssize(at)}, at, count, rank),
            .scale = q.scale(),
            .with_sign = with_sign};
  }

  Edge levels(Graph& g, const std::string& name, const std::string& x, const packed::Levels& o,
              int rank) const override {
    const std::vector<float> at = thresholds_of(o);
    const auto n = std::ssize(o.sizes), above_zero = std::ssize(at) / 2;
    const Count count =
        o.binary ? counted(true, 1) : Count{1, -static_cast<float>(above_zero), "INT" + std::to_string(n + 1)};
    return {.codes = multi_threshold(g, name, x, {1, std::ssize(at)}, at, count, rank),
            .scale = scale_of(o),
            .with_sign = true};
  }

  bool has_thresholds() const override { return true; }
  // Sums that fall while codes rise are negated.
  std::string thresholds(Graph& g, const std::string& name, const std::string& sums, const packed::Thresholds& t,
                         const BitCode& code, int rank) const override {
    std::string x = sums;
    if (std::ranges::any_of(t.direction, [](int d) { return d < 0; })) {
      const Shape shape = rank == 4 ? Shape{t.channels, 1, 1} : Shape{t.channels};
      const std::vector<float> signs(t.direction.begin(), t.direction.end());
      x = g.add("Mul", {sums, g.floats(name + ".direction", shape, signs)}, name + ".directed");
    }
    std::vector<float> at;
    for (std::int64_t c = 0; c < t.channels; ++c)
      for (int k = 0; k < t.levels; ++k)
        at.push_back(static_cast<float>(t.at[static_cast<std::size_t>(k * t.channels + c)]));
    const Count count = code.low >= 0 ? counted(false, t.levels)
                                      : Count{static_cast<float>(code.step), static_cast<float>(code.low),
                                              code == BitCode::signs() ? "BIPOLAR" : "INT" + std::to_string(code.bits)};
    return multi_threshold(g, name, x, {t.channels, t.levels}, at, count, rank);
  }
};

}  // namespace

std::unique_ptr<Dialect> qonnx_dialect() { return std::make_unique<QonnxDialect>(); }
std::unique_ptr<Dialect> thresholds_dialect() { return std::make_unique<ThresholdsDialect>(); }

}  // namespace coarsegrad::onnx
