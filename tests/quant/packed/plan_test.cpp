// What a run time carries out as one, on planes of bits, in groups and in one piece of memory, gives the bits of the
// nodes one by one, whose products are the definition.
#include "quant/packed/plan.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>

#include "core/compute/code_kernel.h"
#include "quant/packed/operations.h"
#include "quant/packed/runtime.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;
using namespace coarsegrad::testing;

namespace {

// ---- the reference: node by node

// Sums of products of codes by the number of their node. They are the same on every kernel table where the codes are,
// and take most of the time of a reference.
struct KnownSums {
  std::vector<std::uint8_t> codes;
  std::vector<std::int64_t> sums;
};
using AllKnownSums = std::map<std::size_t, KnownSums>;

class Reference {
 public:
  Reference(const Model& model, std::int64_t batch, const std::vector<float>& x, AllKnownSums& known)
      : model_(model), known_(known) {
    const std::vector<Shape> shapes = check_model(model);
    const Input& in = std::get<Input>(model.nodes[0].operation);
    values_.emplace_back(batch_of(batch, shapes[0]), kind_of(in));
    if (in.scale == 0)
      std::ranges::copy(x, values_[0].data());
    else
      std::ranges::transform(x, values_[0].codes(), [&in](float v) {
        return static_cast<std::uint8_t>(static_cast<int>(std::clamp(std::nearbyint(v / in.scale), -128.f, 127.f)));
      });
    for (std::size_t i = 1; i < shapes.size(); ++i) {
      const Node& node = model.nodes[i];
      Target to;
      if (const auto* o = std::get_if<Quantize>(&node.operation)) to.kind = kind_of(*o);
      if (const auto* o = std::get_if<Levels>(&node.operation)) to.kind = kind_of(*o);
      if (std::holds_alternative<Subsample>(node.operation)) to.kind.form = input(node).kind().form;
      values_.push_back(value_of(node, batch_of(batch, shapes[i]), to));
    }
  }
  std::vector<float> outputs() const {
    const Value last = values_.back().decoded();
    return {last.data(), last.data() + last.shape().numel()};
  }
  const Value& value(const Node& node) const { return values_[index(node)]; }

 private:
  std::size_t index(const Node& node) const { return static_cast<std::size_t>(&node - model_.nodes.data()); }
  const Value& input(const Node& node, std::size_t i = 0) const {
    return values_[static_cast<std::size_t>(node.inputs[i])];
  }

  Value value_of(const Node& node, const Shape& shape, const Target& to) const {
    const Value& x = input(node);
    return std::visit(
        overloaded{
            [](const Input&) { return Value(); }, [&](const Conv2d& o) { return product(node, o, shape, x); },
            [&](const Linear& o) { return product(node, o, shape, x); },
            [&](const Norm& o) { return normalized(o, x, to); }, [&](const Quantize& o) { return quantized(o, x, to); },
            [&](const Levels& o) { return on_levels(o, x, to); }, [&](const UnitTanh&) { return unit_tanh(x, to); },
            [&](const Relu&) { return rectified(x, to); }, [&](const Abs&) { return absolute(x, to); },
            [&](const Clamp& o) { return clamped(o, x, to); }, [&](const Add&) { return sum(x, input(node, 1), to); },
            [&](const MaxPool& o) { return max_pooled(o, x, to); },
            [&](const AveragePool& o) { return average_pooled(o, x, to); },
            [&](const GlobalAveragePool&) { return channel_means(x, to); },
            [&](const Subsample& o) { return subsampled(o, x, to); },
            [&](const Reshape&) { return x.reshaped(shape); }},
        node.operation);
  }

  template <class Layer>
  Value product(const Node& node, const Layer& o, const Shape& shape, const Value& x) const {
    const ConvShape s = [&] {
      if constexpr (std::is_same_v<Layer, Conv2d>) return conv_shape(o, x.shape()[0], sample_of(x.shape()));
      return bit_linear_shape(x.shape()[0], o.weight.shape[1], o.weight.shape[0]);
    }();
    if (!x.is_coded() || !has_codes(o.weight) || !multiplies_codes(x.kind().code, s))
      return Product(Operation(o), Kind{}, sample_of(x.shape())).run(x.decoded(), {});
    const WeightCodes w = weight_codes(o.weight);
    KnownSums& known = known_[index(node)];
    std::vector<std::uint8_t> codes(x.codes(), x.codes() + x_size(s));
    if (known.sums.empty() || codes != known.codes) {
      known = {std::move(codes), std::vector<std::int64_t>(static_cast<std::size_t>(y_size(s)))};
      for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
        const std::uint8_t byte = known.codes[static_cast<std::size_t>(ix)];
        const int code = x.kind().code.low < 0 ? static_cast<std::int8_t>(byte) : byte;
        known.sums[static_cast<std::size_t>(iy)] += code * w.codes[static_cast<std::size_t>(iw)];
      });
    }
    const std::vector<std::int64_t>& sums = known.sums;
    Value y(shape, Kind{});
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t c = i % static_cast<std::size_t>(s.out_channels);
      y.data()[i] = std::fma(x.kind().scale * w.scales[w.scales.size() == 1 ? 0 : c], static_cast<float>(sums[i]),
                             o.bias.empty() ? 0.f : o.bias[c]);
    }
    return y;
  }

  const Model& model_;
  AllKnownSums& known_;
  std::vector<Value> values_;
};

// ---- random models

class Draw {
 public:
  explicit Draw(unsigned seed) : engine_(seed) {}
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool chance(int percent) { return integer(1, 100) <= percent; }
  float normal() { return std::normal_distribution<float>()(engine_); }
  std::vector<float> normals(std::int64_t n) {
    std::vector<float> all(static_cast<std::size_t>(n));
    for (float& v : all) v = normal();
    return all;
  }

 private:
  std::mt19937 engine_;
};

class RandomModel {
 public:
  RandomModel(unsigned seed, bool wide) : draw_(seed), wide_(wide) {
    side_ = draw_.integer(5, wide ? 9 : 12);
    channels_ = draw_.integer(1, 4);
    add(Input{{side_, side_, channels_}, draw_.chance(30) ? 0.03125f : 0}, {});
    for (int block = draw_.integer(2, 5); block > 0; --block) {
      if (draw_.chance(30) && block > 1)
        residual();
      else
        plain();
    }
    head();
  }
  Model take() { return std::move(model_); }

 private:
  int last() const { return static_cast<int>(model_.nodes.size()) - 1; }
  int add(Operation operation, std::vector<int> inputs) {
    model_.nodes.push_back({"n" + std::to_string(model_.nodes.size()), std::move(operation), std::move(inputs)});
    return last();
  }
  int add(Operation operation) { return add(std::move(operation), {last()}); }

  Weight weight(const Shape& shape) {
    if (draw_.chance(10)) return packed_values(shape, draw_.normals(shape.numel()));
    const int most = draw_.chance(50) ? 0 : draw_.integer(1, draw_.chance(50) ? 1 : 7);  // 0: signs
    std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.numel()));
    for (std::int8_t& c : codes)
      c = static_cast<std::int8_t>(most == 0 ? (draw_.chance(50) ? 1 : -1) : draw_.integer(-most, most));
    std::vector<float> scales = draw_.normals(draw_.chance(50) ? 1 : shape[0]);
    for (float& s : scales) s *= 0.2f;
    return packed_integers(shape, codes, scales);
  }

  void convolution(std::int64_t out, int kernel, int stride, int padding) {
    Conv2d o{.weight = weight({out, kernel, kernel, channels_})};
    if (draw_.chance(40)) o.bias = draw_.normals(out);
    o.stride = {stride, stride};
    o.padding = {padding, padding};
    add(std::move(o));
    side_ = (side_ + 2 * padding - kernel) / stride + 1;
    channels_ = out;
  }

  Norm norm() {
    Norm o{draw_.normals(channels_), draw_.normals(channels_), {}};
    for (float& f : o.factor) f = draw_.chance(10) ? 0 : f;
    if (draw_.chance(80)) o.shift = draw_.normals(channels_);
    return o;
  }

  void pooling(int percent) {
    if (side_ < 4 || !draw_.chance(percent)) return;
    const int padding = draw_.integer(0, 1);
    add(MaxPool{{{2, 2}, {2, 2}, {padding, padding}}});
    side_ = (side_ + 2 * padding - 2) / 2 + 1;
  }

  void quantizer() {
    if (draw_.chance(20)) add(Relu{});
    if (draw_.chance(20)) add(Clamp{draw_.chance(50) ? 0.f : -1.f, 1});
    switch (draw_.integer(0, 5)) {
      case 0:
        add(Quantize{{1, 1, kernels::Rounding::sign}, 1});
        break;
      case 1:
        add(Levels{.sizes = {0.3f}, .binary = draw_.chance(50)});
        break;
      case 2:
        add(Levels{.sizes = draw_.chance(50) ? std::vector<float>{0.2f, 0.7f} : std::vector<float>{0.1f, 0.4f, 1}});
        break;
      case 3:
        add(Quantize{{1, 255, kernels::Rounding::nearest, 255}, 8});
        break;
      default: {
        const int bits = draw_.integer(1, 4), levels = draw_.chance(80) ? (1 << bits) - 1 : 1;
        add(Quantize{{draw_.chance(50) ? 0.25f : 1, levels,
                      draw_.chance(50) ? kernels::Rounding::up : kernels::Rounding::nearest,
                      draw_.chance(50) ? 1.f : static_cast<float>(levels)},
                     bits});
      }
    }
  }

  void plain() {
    const int kernel = side_ >= 3 && draw_.chance(70) ? 3 : 1;
    convolution(wide_ ? draw_.integer(32, 70) : draw_.integer(1, 13), kernel, draw_.chance(25) ? 2 : 1,
                draw_.chance(70) ? kernel / 2 : 0);
    if (draw_.chance(20)) add(norm());
    pooling(40);
    if (draw_.chance(75)) add(norm());
    if (draw_.chance(10)) add(Abs{});
    quantizer();
    pooling(25);
  }

  // A block whose shortcut adds what comes in, maybe with a stride and more channels.
  void residual() {
    const int from = last(), stride = side_ >= 4 && draw_.chance(40) ? 2 : 1;
    const std::int64_t in = channels_;
    convolution(stride == 2 ? 2 * in : in, 3, stride, 1);
    if (draw_.chance(80)) add(norm());
    const int inner = last();
    if (stride == 2) add(Subsample{{2, 2}, in, draw_.chance(50) ? in / 2 : 0}, {from});
    const int shortcut = stride == 2 ? last() : from;
    add(Add{}, draw_.chance(50) ? std::vector<int>{inner, shortcut} : std::vector<int>{shortcut, inner});
    quantizer();
  }

  void head() {
    if (draw_.chance(40)) {
      add(GlobalAveragePool{});
    } else {
      add(Reshape{{side_ * side_ * channels_}});
      channels_ *= side_ * side_;
    }
    for (int layers = draw_.integer(1, 2); layers > 0; --layers) {
      const std::int64_t out = layers > 1 ? 64 : draw_.integer(1, 11);
      add(Linear{weight({out, channels_}), draw_.chance(50) ? draw_.normals(out) : std::vector<float>()});
      channels_ = out;
      if (layers == 1 && draw_.chance(70)) return;
      if (draw_.chance(50)) add(norm());
      quantizer();
    }
  }

  Draw draw_;
  bool wide_;
  std::int64_t side_, channels_;
  Model model_;
};

// What models were found to do, so that the tests are known to try it.
struct Tried {
  int on_bits = 0, on_bytes = 0, thresholds = 0, poolings = 0, turned = 0, expressions = 0, sums = 0, planes = 0;

  void add(const Model& model) {
    const Plan plan(model, check_model(model));
    for (const packed::Step& s : plan.steps) {
      thresholds += s.thresholds.has_value();
      poolings += s.thresholds && s.thresholds->pool >= 0;
      turned += s.thresholds && !s.thresholds->turned.empty();
      expressions += s.expression.has_value();
      sums += s.expression && s.expression->add >= 0;
      planes += plan.nodes.kinds[Nodes::at(s.node)].form == Form::planes;
    }
    for (const auto& p : plan.nodes.products) {
      on_bits += p && p->kernel() == ProductKernel::bits;
      on_bytes += p && p->kernel() == ProductKernel::bytes;
    }
  }
};

void expect_reference(const Model& model, std::int64_t batch, const std::vector<float>& x, AllKnownSums& known) {
  const FlushDenormals as_in_tasks;
  const Reference reference(model, batch, x, known);
  const Runtime net{Model(model)};
  for (const int threads : {1, 2}) {
    INFO("batch ", batch, ", threads ", threads);
    set_num_threads(threads);
    std::vector<float> y(static_cast<std::size_t>(batch * net.output().numel()));
    std::size_t different = 0;
    net.run(batch, x, y, [&](const Runtime::Step& step) {
      const std::size_t at = static_cast<std::size_t>(&step.node - net.model().nodes.data());
      const Value expected = reference.value(model.nodes[at]).decoded(), value = step.value.decoded();
      const std::int64_t sample = expected.shape().numel() / batch;
      const std::vector<float> a(value.data(), value.data() + value.shape().numel());
      const float* const first = expected.data() + step.first * sample;
      different += !same_bits(a, std::vector<float>(first, first + value.shape().numel()));
    });
    const bool any_nan = std::ranges::any_of(x, [](float v) { return std::isnan(v); });
    if (!any_nan) CHECK(different == 0);  // groups without NaN are carried out twice otherwise
    CHECK(same_bits(y, reference.outputs()));
  }
}

Tried try_models(unsigned first, unsigned last, bool wide) {
  const int before = num_threads();
  Tried tried;
  for (unsigned seed = first; seed <= last; ++seed) {
    INFO("seed ", seed);
    const Model model = RandomModel(seed, wide).take();
    use_kernels("scalar");  // whose choice of kernels is the same everywhere
    tried.add(model);
    for (const std::int64_t batch : {1, 5}) {
      AllKnownSums known;
      const std::vector<float> x = gaussian(batch * check_model(model)[0].numel(), seed);
      with_each_table([&] { expect_reference(model, batch, x, known); });
    }
  }
  set_num_threads(before);
  MESSAGE(tried.on_bits, " layers on bits, ", tried.on_bytes, " on bytes; ", tried.thresholds, " by thresholds, ",
          tried.poolings, " of them pooled, ", tried.turned, " with turned channels; ", tried.expressions,
          " by the expression, ", tried.sums, " of them sums; ", tried.planes, " values in planes");
  return tried;
}

}  // namespace

TEST_CASE("packed run time: folds, forms, groups and memory change no bit of what the nodes give one by one") {
  const Tried narrow = try_models(1, 60, false), wide = try_models(101, 140, true);
  CHECK(narrow.on_bytes > 20);
  CHECK(narrow.thresholds > 20);
  CHECK(narrow.turned > 2);
  CHECK(narrow.sums > 5);
  CHECK(wide.on_bits > 20);
  CHECK(wide.thresholds > 20);
  CHECK(wide.poolings > 2);
  CHECK(wide.planes > 10);
}

TEST_CASE("packed run time: a NaN makes floats of the codes of the whole batch, as in a training") {
  const int before = num_threads();
  for (unsigned seed = 1; seed <= 12; ++seed) {
    INFO("seed ", seed);
    Model model = RandomModel(seed, seed % 2 == 0).take();
    std::vector<float> x = gaussian(5 * check_model(model)[0].numel(), seed);
    x[x.size() / 2] = NAN;
    AllKnownSums none_yet;
    auto& in = std::get<Input>(model.nodes[0].operation);
    in.scale = 0;
    expect_reference(model, 5, x, none_yet);
    in.scale = 1;
    const Runtime of_pixels{Model(model)};
    std::vector<float> y(static_cast<std::size_t>(5 * of_pixels.output().numel()));
    CHECK_SAYS(complaint_of([&] { of_pixels.run(5, x, y); }), "given a pixel that is NaN");
  }
  set_num_threads(before);
}

TEST_CASE("packed run time: once warm, a run asks the system for no memory") {
  const int before = num_threads();
  const Model model = RandomModel(104, true).take();
  const Runtime net{Model(model)};
  const std::vector<float> x = gaussian(5 * net.input().numel(), 1);
  std::vector<float> y(static_cast<std::size_t>(5 * net.output().numel()));
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    net.run(5, x, y);
    const std::uint64_t misses = pool_stats().misses;
    for (int i = 0; i < 3; ++i) net.run(5, x, y);
    CHECK(pool_stats().misses == misses);
  }
  set_num_threads(before);
}

TEST_CASE("packed run time: values that are needed at the same time lie apart") {
  for (unsigned seed = 101; seed <= 130; ++seed) {
    INFO("seed ", seed);
    const Model model = RandomModel(seed, true).take();
    const Plan plan(model, check_model(model));
    std::vector<int> alive;
    for (const packed::Step& step : plan.steps) {
      const auto place = [&](int n) { return plan.places[Nodes::at(n)]; };
      const auto size = [&](int n) { return size_of(plan.nodes.kinds[Nodes::at(n)], plan.nodes.shapes[Nodes::at(n)]); };
      if (place(step.node) >= 0)
        for (const int other : alive) {
          const bool apart = place(other) < 0 || place(other) + size(other) <= place(step.node) ||
                             place(step.node) + size(step.node) <= place(other);
          CHECK(apart);
        }
      alive.push_back(step.node);
      for (const int gone : step.last) std::erase(alive, gone);
    }
  }
}
