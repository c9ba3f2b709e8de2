// Exported models compute what the packed model computes: random ones whose numbers are small multiples of powers of
// two, so that nothing is rounded, exactly and in every form; others within a bound.
#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "quant/export/onnx/export.h"
#include "quant/packed/runtime.h"
#include "tests/quant/export/run_graph.h"
#include "tests/support/draw.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

class Dyadics : public Draw {
 public:
  using Draw::Draw;
  // A multiple of 1/4 in [-2, 2].
  float dyadic() { return static_cast<float>(integer(-8, 8)) / 4; }
  float power() { return std::ldexp(1.f, integer(-2, 1)); }
  std::vector<float> dyadics(std::int64_t n) {
    std::vector<float> all(static_cast<std::size_t>(n));
    for (float& v : all) v = dyadic();
    return all;
  }
};

packed::Weight weight(const Shape& shape, Dyadics& draw) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.numel()));
  const auto fill = [&](int low, int high) {
    for (std::int8_t& k : codes) k = static_cast<std::int8_t>(draw.integer(low, high));
    return codes;
  };
  std::vector<float> scales(draw.chance(50) ? 1 : static_cast<std::size_t>(shape[0]));
  for (float& s : scales) s = draw.power();
  if (draw.chance(10)) scales[0] = 0;
  switch (draw.integer(0, 7)) {
    case 0:
      return packed::packed_values(shape, draw.dyadics(shape.numel()));  // a table, or floats
    case 1:
      for (std::int8_t& k : codes) k = draw.chance(50) ? 1 : -1;
      return packed::packed_integers(shape, codes, scales);
    case 2:
      return packed::packed_integers(shape, fill(-1, 1), scales);
    case 3:
      return packed::packed_integers(shape, fill(-8, 7), scales);
    case 4:
      return packed::packed_integers(shape, fill(-100, 127), scales);
    case 5:
      return packed::packed_powers(shape, fill(-3, 3), 3, 3, scales);
    case 6:
      return packed::packed_powers(shape, fill(-4, 4), 4, 4, scales);
    default:
      return packed::packed_powers(shape, fill(-6, 6), 6, 4, scales);
  }
}

packed::Operation quantizer(Dyadics& draw) {
  if (draw.chance(20)) {
    const int count = draw.integer(1, 4);
    packed::Levels o{.binary = count == 1 && draw.chance(50)};
    for (int k = 1; k <= count; ++k) o.sizes.push_back(0.25f * static_cast<float>(k));
    if (o.binary) o.sizes = {0x1p-126f};
    return o;
  }
  const kernels::Rounding roundings[] = {kernels::Rounding::up, kernels::Rounding::up, kernels::Rounding::nearest,
                                         kernels::Rounding::sign};
  const auto rounding = roundings[draw.integer(0, 3)];
  const int bits = rounding == kernels::Rounding::sign ? 1 : draw.integer(1, 8);
  const int levels = draw.chance(80) ? (1 << bits) - 1 : 1 << (bits - 1);
  return packed::Quantize{{draw.power(), levels, rounding, draw.chance(70) ? 1.f : 4.f}, bits};
}

// Adds nodes to a model, each behind the last one.
class Builder {
 public:
  explicit Builder(Dyadics& draw, const Shape& image) : draw_(draw), shape_(image) {
    add(packed::Input{image, draw_.chance(30) ? 0.0625f : 0});
  }

  void add(packed::Operation operation, std::vector<int> inputs = {}) {
    if (inputs.empty() && !model.nodes.empty()) inputs = {last()};
    model.nodes.push_back({"n" + std::to_string(model.nodes.size()), std::move(operation), std::move(inputs)});
    if (model.nodes.size() > 1) shape_ = check_model(model).back();
  }
  int last() const { return static_cast<int>(model.nodes.size()) - 1; }

  void convolution() {
    const std::int64_t kernel = draw_.chance(50) ? 3 : 1, groups = draw_.chance(20) ? shape_[2] : 1;
    const std::int64_t out = groups > 1 ? shape_[2] : draw_.integer(1, 5), padding = draw_.integer(0, 1);
    const std::int64_t side = std::min(shape_[0], shape_[1]) + 2 * padding;
    if (side < kernel) return;
    packed::Conv2d o{.weight = weight({out, kernel, kernel, shape_[2] / groups}, draw_),
                     .stride = {draw_.integer(1, 2), draw_.integer(1, 2)},
                     .padding = {padding, padding},
                     .groups = groups};
    if (draw_.chance(50)) o.bias = draw_.dyadics(out);
    if (side >= 5 && draw_.chance(20) && kernel == 3) o.dilation = {2, 2};
    add(std::move(o));
  }
  void residual() {
    const int from = last();
    const std::int64_t c = shape_[2];
    add(packed::Conv2d{.weight = weight({c, 3, 3, c}, draw_), .padding = {1, 1}});
    add(packed::Add{}, {draw_.chance(50) ? from : last(), last()});
  }
  void normalization() {
    const std::int64_t c = shape_[-1];
    packed::Norm o{draw_.dyadics(c), {}, draw_.chance(80) ? draw_.dyadics(c) : std::vector<float>()};
    for (std::int64_t i = 0; i < c; ++i) o.factor.push_back(draw_.chance(10) ? 0 : draw_.chance(50) ? 0.5f : -1.f);
    add(std::move(o));
  }
  void pooling() {
    if (std::min(shape_[0], shape_[1]) < 3) return;
    const packed::Window window{{2, 2}, {draw_.integer(1, 2), 2}, {draw_.integer(0, 1), 0}};
    if (draw_.chance(70))
      add(packed::MaxPool{window});
    else
      add(packed::AveragePool{window});
  }
  void activation() {
    const int kind = draw_.integer(0, 9);
    if (kind == 0) add(packed::Relu{});
    if (kind == 1) add(packed::Clamp{-0.5f, 2});
    if (kind == 2) add(packed::Abs{});
    add(quantizer(draw_));
  }
  void block() {
    if (draw_.chance(20))
      residual();
    else
      convolution();
    if (draw_.chance(30)) pooling();
    if (draw_.chance(70)) normalization();
    activation();
    if (draw_.chance(20)) pooling();
    if (draw_.chance(20)) add(packed::Subsample{{2, 1}, 3, draw_.integer(0, 3)});
  }
  void head() {
    if (draw_.chance(25)) add(packed::Reshape{{shape_[1], shape_[0], shape_[2]}});
    add(packed::Reshape{{shape_.numel()}});
    add(packed::Linear{.weight = weight({draw_.integer(1, 6), shape_[0]}, draw_), .bias = {}});
  }

  packed::Model model;

 private:
  Dyadics& draw_;
  Shape shape_;
};

packed::Model random_model(Dyadics& draw) {
  Builder b(draw, {draw.integer(4, 8), draw.integer(4, 8), draw.integer(1, 3)});
  for (int block = draw.integer(1, 3); block > 0; --block) b.block();
  b.head();
  return std::move(b.model);
}

// Channels first.
Array moved(const packed::Value& value) {
  const packed::Value x = value.decoded();
  const Shape& s = x.shape();
  if (s.rank() != 4) return {s, {x.data(), x.data() + s.numel()}};
  Array y{{s[0], s[3], s[1], s[2]}, {}};
  for (std::int64_t n = 0; n < s[0]; ++n)
    for (std::int64_t c = 0; c < s[3]; ++c)
      for (std::int64_t p = 0; p < s[1] * s[2]; ++p) y.values.push_back(x.data()[(n * s[1] * s[2] + p) * s[3] + c]);
  return y;
}

// What a graph has of a node's value: floats, or codes and the scale of the value; empty where it has neither, which is so
// within thresholds.
std::vector<float> values_in(const std::map<std::string, Array>& all, const std::string& name, float scale) {
  if (const auto found = all.find(name); found != all.end()) return found->second.values;
  const auto codes = all.find(name + ".codes");
  if (codes == all.end()) return {};
  std::vector<float> values = codes->second.values;
  for (float& v : values) v *= scale;
  return values;
}

struct Compared {
  int layers = 0;
  double largest = 0;      // difference, of the largest value of the layer
  std::string where = "";  // the first layer that differs
};

Compared compare(const packed::Model& model, onnx::Form form, std::int64_t batch, const std::vector<float>& x) {
  const packed::Runtime net{packed::Model(model)};
  onnx::ModelProto file;
  REQUIRE(file.ParseFromString(onnx::onnx_bytes(model, {form, batch})));
  const packed::Value in(packed::batch_of(batch, net.input()), {});
  std::copy(x.begin(), x.end(), in.data());
  const auto all = run_graph(file.graph(), moved(in));
  Compared found;
  std::vector<float> y(static_cast<std::size_t>(batch * net.output().numel()));
  net.run(batch, x, y, [&](const packed::Runtime::Step& step) {
    const packed::Node& node = step.node;
    INFO("layer ", node.name, ", ", name_of(node.operation));
    const Array ours = moved(step.value);
    const std::vector<float> whole = values_in(all, node.name, step.value.kind().scale);
    if (whole.empty()) {
      CHECK(form == onnx::Form::thresholds);
      return;
    }
    const auto first = whole.begin() + step.first * (std::ssize(whole) / batch);
    REQUIRE(std::ssize(ours.values) <= whole.end() - first);
    const std::vector<float> theirs(first, first + std::ssize(ours.values));
    double most = 1e-30, differs = 0;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      most = std::max<double>(most, std::abs(ours.values[i]));
      differs = std::max<double>(differs, std::abs(theirs[i] - ours.values[i]));
    }
    if (differs > 0 && found.where.empty()) found.where = cat(name_of(node.operation), ' ', node.name);
    found.largest = std::max(found.largest, differs / most);
    if (step.first == 0) ++found.layers;  // in each group of samples
  });
  CHECK(all.at(file.graph().output(0).name()).values.size() == y.size());
  return found;
}

constexpr onnx::Form kForms[] = {onnx::Form::onnx, onnx::Form::qonnx, onnx::Form::thresholds};

}  // namespace

TEST_CASE("onnx: random networks of dyadic numbers are equal, layer by layer, in every form and for any batch") {
  int layers = 0;
  for (unsigned seed = 1; seed <= 150; ++seed) {
    Dyadics draw(seed);
    const packed::Model model = random_model(draw);
    const std::int64_t batch = draw.integer(1, 3);
    const Shape& image = std::get<packed::Input>(model.nodes[0].operation).sample;
    const std::vector<float> x = draw.dyadics(batch * image.numel());
    for (const onnx::Form form : kForms) {
      INFO("seed ", seed, ", form ", static_cast<int>(form));
      const Compared found = compare(model, form, batch, x);
      CHECK(found.where == "");
      layers += found.layers;
    }
  }
  MESSAGE(layers, " layers");
  CHECK(layers > 2000);
}

TEST_CASE("onnx: a scale that is no power of two rounds a product once in both, a bias once more in the graph") {
  packed::Model model;
  std::vector<std::int8_t> codes(12 * 64);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(i * 7 % 15) - 7;
  model.nodes = {{"x", packed::Input{{64}}, {}},
                 {"act", packed::Quantize{{0.37f, 15, kernels::Rounding::up}, 4}, {0}},
                 {"fc", packed::Linear{.weight = packed::packed_integers({12, 64}, codes, {0.123f})}, {1}}};
  std::vector<float> x(3 * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 61) * 0.1f - 1;
  for (const onnx::Form form : {onnx::Form::onnx, onnx::Form::thresholds})
    CHECK(compare(model, form, 3, x).largest == 0);
  std::get<packed::Linear>(model.nodes[2].operation).bias = std::vector<float>(12, 0.321f);
  const double with_bias = compare(model, onnx::Form::onnx, 3, x).largest;
  CHECK(with_bias > 0);
  CHECK(with_bias < 2e-7);
  CHECK(compare(model, onnx::Form::qonnx, 3, x).largest < 1e-5);  // float sums of scaled values
}

TEST_CASE("onnx: points of a grid and their neighbours have the codes that they have here") {
  const auto model_of = [](const packed::Operation& o) {
    packed::Model m;
    m.nodes = {{"x", packed::Input{{1}}, {}}, {"act", o, {0}}};
    return m;
  };
  std::vector<packed::Operation> all;
  for (const float alpha : {1.f, 0.1f, 0.37f, 1.2221f})
    for (const auto rounding : {kernels::Rounding::up, kernels::Rounding::nearest, kernels::Rounding::sign})
      for (const float steps : {1.f, 7.f}) all.push_back(packed::Quantize{{alpha, 7, rounding, steps}, 3});
  all.push_back(packed::Levels{{0.3f, 0.5f, 0.9f}});
  all.push_back(packed::Levels{{0x1p-126f}, true});
  for (const packed::Operation& o : all) {
    std::vector<float> x{0.3f, -0.3f, 0.5f, -0.5f, 0.9f, -0.9f};
    const auto* q = std::get_if<packed::Quantize>(&o);
    for (int k = -2; q && k <= 18; ++k)
      if (k != 0) x.push_back(static_cast<float>(k) * q->quantizer.alpha / q->quantizer.steps / 2);
    const std::size_t middle = x.size();
    for (std::size_t i = 0; i < middle; ++i)
      for (const float end : {-10.f, 10.f}) x.push_back(std::nextafter(x[i], end));
    const float least = q ? 0x1p-120f : 0x1p-126f;  // a quotient is no denormal number either
    x.insert(x.end(), {0.f, -0.f, least, -least});
    for (const onnx::Form form : kForms) {
      INFO(packed::name_of(o), " form ", static_cast<int>(form));
      const Compared found = compare(model_of(o), form, std::ssize(x), x);
      CHECK(found.layers == 1);
      CHECK(found.largest == 0);
    }
  }
}
