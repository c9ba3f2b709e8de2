#include "quant/export/onnx/export.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/check.h"
#include "quant/export/onnx/dialect.h"
#include "quant/export/onnx/layout.h"
#include "quant/packed/plan.h"

namespace coarsegrad::onnx {
namespace {

using packed::Model;
using packed::Node;

std::size_t at(int number) { return static_cast<std::size_t>(number); }

std::vector<std::int64_t> both(const packed::Extents& e) { return {e.h, e.w}; }
// Before and behind, of each axis.
std::vector<std::int64_t> padding(const packed::Extents& e) { return {e.h, e.w, e.h, e.w}; }

// Adds the nodes of a model one by one.
class Translator {
 public:
  Translator(const Model& model, const ExportOptions& options, Graph& graph)
      : model_(model),
        batch_(options.batch),
        g_(graph),
        dialect_(dialect(options.form)),
        shapes_(check_model(model)),
        edges_(model.nodes.size()) {
    if (dialect_->has_thresholds()) find_folds();
  }

  void translate() {
    const int count = static_cast<int>(model_.nodes.size());
    g_.input(node(0).name, batch_, channels_first(shapes_[0]));
    const float scale = std::get<packed::Input>(node(0).operation).scale;
    edges_[0] = scale == 0 ? Edge{.floats = name(0)} : dialect_->pixels(g_, name(0), name(0), scale);
    for (int number = 1; number < count; ++number) add(number);
    const std::string& last = name(count - 1);
    if (floats(count - 1) != last) g_.add("Identity", {floats(count - 1)}, last);
    g_.output(last, batch_, channels_first(shapes_.back()));
  }

 private:
  const Node& node(int number) const { return model_.nodes[at(number)]; }
  const std::string& name(int number) const { return node(number).name; }
  int input_of(int number, std::size_t i = 0) const { return node(number).inputs[i]; }
  int rank(int number) const { return shapes_[at(number)].rank() + 1; }

  // The value of a node as floats.
  const std::string& floats(int number) {
    Edge& e = edges_[at(number)];
    if (e.floats.empty()) e.floats = times(g_, e.codes, e.scale, number == 0 ? name(0) + ".pixels" : name(number));
    return e.floats;
  }
  const std::string& x(int number) { return floats(input_of(number)); }

  // Products whose sums become the codes of a quantizer, from the last node to the first one: a fold takes in nodes in
  // front of it.
  struct Fold {
    int quantize;
    packed::LevelsOfSums levels;
    packed::Kind kind;  // of the codes
  };

  void find_folds() {
    const packed::Plan plan(model_, shapes_);
    std::vector<bool> inner(model_.nodes.size());
    for (int number = static_cast<int>(model_.nodes.size()) - 1; number > 0; --number) {
      const packed::Operation& o = node(number).operation;
      if (inner[at(number)] ||
          !(std::holds_alternative<packed::Quantize>(o) || std::holds_alternative<packed::Levels>(o)))
        continue;
      auto found = packed::levels_of_sums(plan.nodes, number);
      if (!found || !found->turned.empty()) continue;  // MaxPool knows no channels in which the lowest level wins
      for (const int n : found->inner) inner[at(n)] = true;
      const int product = found->product;
      folds_.emplace(product, Fold{number, std::move(*found), plan.nodes.kinds[at(number)]});
    }
  }

  void add(int number) {
    if (edges_[at(number)].defined() || !edges_[at(input_of(number))].defined()) return;  // within thresholds
    const auto fold = folds_.find(number);
    if (fold != folds_.end() && edges_[at(input_of(number))].coded()) return add_thresholds(fold->second);
    edges_[at(number)] = std::visit([&](const auto& o) { return edge(number, o); }, node(number).operation);
  }

  void add_thresholds(const Fold& fold) {
    const int product = fold.levels.product, pool = fold.levels.pool;
    const std::string sums = product_of_codes(product, name(product) + ".sums");
    std::string codes = dialect_->thresholds(g_, pool < 0 ? name(fold.quantize) : name(product), sums,
                                             fold.levels.thresholds, fold.kind.code, rank(product));
    if (pool >= 0)
      codes = max_pool(codes, std::get<packed::MaxPool>(node(pool).operation), name(fold.quantize) + ".codes");
    edges_[at(fold.quantize)] = {.codes = codes, .scale = fold.kind.scale, .with_sign = fold.kind.code.low < 0};
  }

  // --- Operations
  Edge edge(int, const packed::Input&) { return {}; }
  Edge edge(int number, const packed::Conv2d& o) { return product(number, o.weight, o.bias); }
  Edge edge(int number, const packed::Linear& o) { return product(number, o.weight, o.bias); }
  Edge edge(int number, const packed::Norm& o) {
    const std::string& n = name(number);
    std::string y = g_.add("Sub", {x(number), channels(number, ".mean", o.mean)}, n + ".centered");
    y = g_.add("Mul", {y, channels(number, ".factor", o.factor)}, o.shift.empty() ? n : n + ".scaled");
    if (!o.shift.empty()) y = g_.add("Add", {y, channels(number, ".shift", o.shift)}, n);
    return {.floats = y};
  }
  Edge edge(int number, const packed::Quantize& o) {
    return dialect_->quantize(g_, name(number), x(number), o, rank(number));
  }
  Edge edge(int number, const packed::Levels& o) {
    return dialect_->levels(g_, name(number), x(number), o, rank(number));
  }
  Edge edge(int number, const packed::UnitTanh&) {
    const std::string& n = name(number);
    const std::string sum =
        g_.add("Add", {g_.add("Tanh", {x(number)}, n + ".tanh"), g_.number(n + ".one", 1)}, n + ".sum");
    return {.floats = g_.add("Mul", {sum, g_.number(n + ".half", 0.5f)}, n)};
  }
  Edge edge(int number, const packed::Relu&) { return {.floats = g_.add("Relu", {x(number)}, name(number))}; }
  Edge edge(int number, const packed::Abs&) { return {.floats = g_.add("Abs", {x(number)}, name(number))}; }
  Edge edge(int number, const packed::Clamp& o) {
    const std::string lower = g_.number(name(number) + ".lower", o.lower);
    return {.floats = g_.add("Clip", {x(number), lower, g_.number(name(number) + ".upper", o.upper)}, name(number))};
  }
  Edge edge(int number, const packed::Add&) {
    const std::string a = floats(input_of(number, 0)), b = floats(input_of(number, 1));
    return {.floats = g_.add("Add", {a, b}, name(number))};
  }
  Edge edge(int number, const packed::MaxPool& o) {
    const Edge& from = edges_[at(input_of(number))];
    if (!from.coded() || from.with_sign) return {.floats = max_pool(x(number), o, name(number))};
    return {.codes = max_pool(from.codes, o, name(number) + ".codes"), .scale = from.scale};
  }
  Edge edge(int number, const packed::AveragePool& o) {
    return {.floats = g_.add("AveragePool", {x(number)}, name(number),
                             {{"kernel_shape", both(o.kernel)},
                              {"strides", both(o.stride)},
                              {"pads", padding(o.padding)},
                              {"ceil_mode", std::int64_t{0}},
                              {"count_include_pad", std::int64_t{1}}})};
  }
  Edge edge(int number, const packed::GlobalAveragePool&) {
    const std::string pixel = g_.add("GlobalAveragePool", {x(number)}, name(number) + ".pixel");
    return {.floats = g_.add("Flatten", {pixel}, name(number), {{"axis", std::int64_t{1}}})};
  }
  Edge edge(int number, const packed::Subsample& o) {
    return moved(number,
                 [&](const std::string& from, const std::string& to) { return subsample(number, o, from, to); });
  }
  Edge edge(int number, const packed::Reshape& o) {
    return moved(number, [&](const std::string& from, const std::string& to) { return reshape(number, o, from, to); });
  }

  // --- Parts of them

  // What moves elements and leaves them as they are moves codes, where there are some.
  template <class Move>
  Edge moved(int number, Move move) {
    const Edge from = edges_[at(input_of(number))];
    if (!from.coded()) return {.floats = move(from.floats, name(number))};
    return {.codes = move(from.codes, name(number) + ".codes"), .scale = from.scale, .with_sign = from.with_sign};
  }

  std::string channels(int number, const char* what, const std::vector<float>& values) {
    return g_.floats(name(number) + what, channel_shape(shapes_[at(number)]), values);
  }

  // Convolution or dense layer of two tensors of the graph, maybe with a bias.
  std::string multiply(int number, const std::vector<std::string>& inputs, const std::string& to) {
    if (const auto* o = std::get_if<packed::Conv2d>(&node(number).operation)) {
      const Shape& w = o->weight.shape;
      const std::vector<Attribute> attributes{{"kernel_shape", std::vector<std::int64_t>{w[1], w[2]}},
                                              {"strides", both(o->stride)},
                                              {"pads", padding(o->padding)},
                                              {"dilations", both(o->dilation)},
                                              {"group", o->groups}};
      return g_.add("Conv", inputs, to, attributes);
    }
    const std::vector<Attribute> attributes{
        {"alpha", 1.f}, {"beta", 1.f}, {"transA", std::int64_t{0}}, {"transB", std::int64_t{1}}};
    return g_.add("Gemm", inputs, to, attributes);
  }

  std::string product_of_codes(int number, const std::string& to) {
    const std::string weight = dialect_->weight_codes(g_, name(number), *weight_of(node(number).operation));
    return multiply(number, {edges_[at(input_of(number))].codes, weight}, to);
  }

  Edge product(int number, const packed::Weight& w, const std::vector<float>& bias) {
    const std::string& n = name(number);
    const Edge& from = edges_[at(input_of(number))];
    if (!from.coded() || !has_codes(w)) {
      std::vector<std::string> inputs{x(number), dialect_->weight_values(g_, n, w)};
      if (!bias.empty()) inputs.push_back(g_.floats(n + ".bias", {std::ssize(bias)}, bias));
      return {.floats = multiply(number, inputs, n)};
    }
    std::vector<float> factors(at(static_cast<int>(w.shape[0])));
    const std::vector<float> scales = weight_codes(w).scales;
    for (std::size_t c = 0; c < factors.size(); ++c) factors[c] = from.scale * scales[scales.size() == 1 ? 0 : c];
    const bool plain = std::ranges::all_of(factors, [](float f) { return f == 1; });
    std::string y = product_of_codes(number, plain && bias.empty() ? n : n + ".sums");
    if (!plain) y = g_.add("Mul", {y, channels(number, ".factors", factors)}, bias.empty() ? n : n + ".scaled");
    if (!bias.empty()) y = g_.add("Add", {y, channels(number, ".bias", bias)}, n);
    return {.floats = y};
  }

  std::string max_pool(const std::string& from, const packed::MaxPool& o, const std::string& to) {
    return g_.add("MaxPool", {from}, to,
                  {{"kernel_shape", both(o.kernel)},
                   {"strides", both(o.stride)},
                   {"pads", padding(o.padding)},
                   {"ceil_mode", std::int64_t{0}}});
  }

  std::string subsample(int number, const packed::Subsample& o, const std::string& from, const std::string& to) {
    const std::string& n = name(number);
    const Shape& in = shapes_[at(input_of(number))];
    const auto numbers = [&](const char* what, std::vector<std::int64_t> values) {
      return g_.indices(n + what, values);
    };
    const std::string begin = numbers(".begin", {0, 0}), end = numbers(".end", {in[0], in[1]});
    const std::string axes = numbers(".axes", {2, 3}), steps = numbers(".stride", {o.stride.h, o.stride.w});
    std::string y = g_.add("Slice", {from, begin, end, axes, steps}, o.channels == 0 ? to : n + ".pixels");
    if (o.channels == 0) return y;
    const std::string pads = numbers(".pads", {0, o.before, 0, 0, 0, o.channels - o.before, 0, 0});
    return g_.add("Pad", {y, pads, g_.number(n + ".zero", 0)}, to, {{"mode", std::string("constant")}});
  }

  // In the order of elements that they have here.
  std::string reshape(int number, const packed::Reshape& o, const std::string& from, const std::string& to) {
    const std::string& n = name(number);
    std::string y = from;
    if (is_image(shapes_[at(input_of(number))])) y = g_.add("Transpose", {y}, n + ".last", {{"perm", kToChannelsLast}});
    std::vector<std::int64_t> extents{-1};
    extents.insert(extents.end(), o.sample.begin(), o.sample.end());
    const std::string shape = g_.indices(n + ".shape", extents);
    y = g_.add("Reshape", {y, shape}, is_image(o.sample) ? n + ".reshaped" : to, {{"allowzero", std::int64_t{0}}});
    return is_image(o.sample) ? g_.add("Transpose", {y}, to, {{"perm", kToChannelsFirst}}) : y;
  }

  const Model& model_;
  const std::int64_t batch_;
  Graph& g_;
  const std::unique_ptr<Dialect> dialect_;
  const std::vector<Shape> shapes_;
  std::vector<Edge> edges_;
  std::map<int, Fold> folds_ = {};  // by the node of the product; none in forms without thresholds
};

// IR 10 and opset 21 are the first that have numbers of 4 bits; qonnx knows IR 8 and opset 14 for longer.
void set_versions(ModelProto& file, Form form) {
  file.set_ir_version(form == Form::onnx ? 10 : 8);
  file.add_opset_import()->set_version(form == Form::onnx ? 21 : 14);
  file.mutable_opset_import(0)->set_domain("");
  if (form == Form::onnx) return;
  OperatorSetIdProto& own = *file.add_opset_import();
  own.set_domain(kQonnx);
  own.set_version(1);
}

}  // namespace

std::string onnx_bytes(const packed::Model& model, const ExportOptions& options) {
  check(options.batch >= 0, "onnx: given a batch of ", options.batch, ", expected 1 or more, or 0 for any");
  check_model(model);
  ModelProto file;
  set_versions(file, options.form);
  file.set_producer_name("CoarseGrad");
  for (const auto& [key, value] : model.metadata) {
    StringStringEntryProto& entry = *file.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  file.mutable_graph()->set_name("network");
  Graph graph(*file.mutable_graph());
  Translator(model, options, graph).translate();
  std::string bytes;
  const bool written = file.SerializeToString(&bytes);
  check(written, "onnx: the model does not fit into a file of 2 GiB");
  return bytes;
}

}  // namespace coarsegrad::onnx
