#include "quant/export/freeze.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/check.h"
#include "core/deferred.h"
#include "nn/graph.h"
#include "quant/evaluation_scope.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

using nn::Graph;

bool is_op(const Graph::Node& node) { return node.op != "parameter" && node.op != "constant"; }

std::vector<float> floats_of(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

Shape without_batch(const Shape& batch) { return {batch.begin() + 1, batch.rank() - 1}; }

template <class T>
const T& attribute(const Graph::Node& node, const char* name) {
  const T* const found = find_attribute<T>(node.attributes, name);
  check(found != nullptr, "given no ", name, ", expected one that does not depend on the batch");
  return *found;
}

packed::Extents extents(const Graph::Node& node, const char* name) {
  const auto& both = attribute<std::vector<std::int64_t>>(node, name);
  return {both.at(0), both.at(1)};
}

packed::Window window(const Graph::Node& node) {
  return {extents(node, "kernel"), extents(node, "stride"), extents(node, "padding")};
}

packed::Weight packed_weight(const Tensor& w) {
  const Deferred* const source = w.source();
  const auto scales = source ? source->scales() : std::span<const Real>();
  const std::vector<float> factors(scales.begin(), scales.end());
  if (const auto powers = source ? source->powers() : std::nullopt; powers && powers->magnitudes > 1)
    return packed::packed_powers(w.shape(), powers->codes, powers->magnitudes, source->bits(), factors);
  if (const Coded* coded = w.coded(); coded && coded->is_signed())
    return packed::packed_integers(w.shape(), {coded->signed_codes(), static_cast<std::size_t>(coded->size())},
                                   factors);
  return packed::packed_values(w.shape(), w.view());
}

kernels::Rounding rounding_of(const std::string& name) {
  return name == "up" ? kernels::Rounding::up : name == "sign" ? kernels::Rounding::sign : kernels::Rounding::nearest;
}

packed::Quantize quantize(const Graph::Node& node) {
  const auto* range = find_attribute<std::string>(node.attributes, "range");
  check(!range || *range != "batch",
        "given levels that follow the largest element of the batch, expected fixed ones: a ",
        "packed model computes each sample by itself");
  const auto levels = attribute<std::int64_t>(node, "levels"), bits = attribute<std::int64_t>(node, "bits");
  check(levels <= 255, "given ", bits, " bits, expected at most 8");
  return {{static_cast<float>(attribute<double>(node, "alpha")), static_cast<int>(levels),
           rounding_of(attribute<std::string>(node, "rounding")), static_cast<float>(attribute<double>(node, "steps"))},
          static_cast<int>(bits)};
}

// Least sizes are reached by what lies above a threshold.
packed::Levels levels(const Graph::Node& node) {
  packed::Levels o{.binary = attribute<std::int64_t>(node, "bits") == 1};
  for (const Real t : attribute<Tensor>(node, "thresholds").view()) o.sizes.push_back(std::nextafter(t, Real(1)));
  if (o.binary) o.sizes = {std::numeric_limits<float>::min()};
  return o;
}

// Makes the nodes of the model one by one.
class Freezer {
 public:
  Freezer(nn::Module& net, const Graph& graph, Real pixel_scale)
      : graph_(graph), pixel_scale_(static_cast<float>(pixel_scale)), numbers_(graph.nodes.size(), Graph::kNone) {
    for (const auto& [name, parameter] : net.named_parameters()) parameters_[name] = parameter;
  }

  packed::Model model() {
    const std::vector<bool> wanted = behind_the_output();
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (wanted[i] && is_op(graph_.nodes[i])) add(i);
    return std::move(model_);
  }

 private:
  std::vector<bool> behind_the_output() const {
    check(graph_.output != Graph::kNone && is_op(node(graph_.output)) && graph_.inputs.size() == 1,
          "freeze: given a network of ", graph_.inputs.size(), " inputs, expected 1, and an output that depends on it");
    std::vector<bool> wanted(graph_.nodes.size());
    wanted[static_cast<std::size_t>(graph_.output)] = true;
    for (std::size_t i = wanted.size(); i-- > 0;)
      for (const int from : graph_.nodes[i].inputs)
        if (wanted[i] && from != Graph::kNone) wanted[static_cast<std::size_t>(from)] = true;
    return wanted;
  }

  const Graph::Node& node(int number) const { return graph_.nodes[static_cast<std::size_t>(number)]; }

  void add(std::size_t number) {
    const Graph::Node& n = graph_.nodes[number];
    try {
      model_.nodes.push_back({name_of(n), operation(n), inputs_of(n)});
    } catch (const Error& e) {
      throw Error(cat("freeze: the op ", n.op, " of '", n.module, "': ", e.what()));
    }
    numbers_[number] = static_cast<int>(model_.nodes.size()) - 1;
  }

  // That of the module where the op is all that it does.
  std::string name_of(const Graph::Node& n) {
    if (n.op == "input") return unique("input");
    const Graph::Call& call = graph_.calls[static_cast<std::size_t>(n.call)];
    const auto ops = std::count_if(graph_.nodes.begin() + call.begin, graph_.nodes.begin() + call.end, is_op);
    return unique(ops == 1 && !n.module.empty() ? n.module : cat(n.module, n.module.empty() ? "" : ".", n.op));
  }
  std::string unique(const std::string& name) {
    const int place = ++places_[name];
    return place == 1 ? name : cat(name, "#", place);
  }

  // Parameters belong to the operation; other inputs are values of the model.
  std::vector<int> inputs_of(const Graph::Node& n) const {
    std::vector<int> inputs;
    const std::size_t values = n.op == "add" ? 2 : n.op == "input" ? 0 : 1;
    for (std::size_t i = 0; i < values; ++i) {
      const int number = numbers_[static_cast<std::size_t>(n.inputs.at(i))];
      check(number != Graph::kNone, "given a parameter or a constant, expected a value that comes from the input");
      inputs.push_back(number);
    }
    return inputs;
  }

  // The deployed value of a parameter; not defined where the op was not given one.
  Tensor parameter(const Graph::Node& n, std::size_t place) const {
    if (place >= n.inputs.size() || n.inputs[place] == Graph::kNone) return {};
    const std::string& name = node(n.inputs[place]).parameter;
    check(!name.empty(), "given a weight that is no parameter of the network");
    const Parameter& p = *parameters_.at(name);
    return p.effective.defined() ? p.effective : p.value;
  }
  std::vector<float> numbers(const Graph::Node& n, std::size_t place) const {
    const Tensor t = parameter(n, place);
    return t.defined() ? floats_of(t) : std::vector<float>();
  }

  packed::Norm norm(const Graph::Node& n) const {
    packed::Norm o{floats_of(attribute<Tensor>(n, "mean")), floats_of(attribute<Tensor>(n, "inv_std")), numbers(n, 2)};
    const std::vector<float> scale = numbers(n, 1);
    for (std::size_t c = 0; c < scale.size(); ++c) o.factor[c] *= scale[c];
    return o;
  }

  packed::Operation operation(const Graph::Node& n) const {
    if (n.op == "input") return packed::Input{without_batch(n.shape), pixel_scale_};
    if (n.op == "conv2d")
      return packed::Conv2d{packed_weight(parameter(n, 1)), numbers(n, 2),
                            extents(n, "stride"),           extents(n, "padding"),
                            extents(n, "dilation"),         attribute<std::int64_t>(n, "groups")};
    if (n.op == "linear") return packed::Linear{packed_weight(parameter(n, 1)), numbers(n, 2)};
    if (n.op == "batch_norm") return norm(n);
    if (n.op == "quantize_activation") return quantize(n);
    if (n.op == "mix_activation") return levels(n);
    if (n.op == "unit_tanh") return packed::UnitTanh{};
    if (n.op == "relu") return packed::Relu{};
    if (n.op == "abs") return packed::Abs{};
    if (n.op == "clamp")
      return packed::Clamp{static_cast<float>(attribute<double>(n, "lower")),
                           static_cast<float>(attribute<double>(n, "upper"))};
    if (n.op == "add") return packed::Add{};
    if (n.op == "max_pool2d") return packed::MaxPool{window(n)};
    if (n.op == "avg_pool2d") return packed::AveragePool{window(n)};
    if (n.op == "global_avg_pool2d") return packed::GlobalAveragePool{};
    if (n.op == "subsample2d")
      return packed::Subsample{extents(n, "stride"), attribute<std::int64_t>(n, "channels"),
                               attribute<std::int64_t>(n, "before")};
    if (n.op == "reshape") return packed::Reshape{without_batch(n.shape)};
    throw Error("expected a convolution, a dense layer, a normalisation, an activation, a pooling, a sum or a reshape");
  }

  const Graph& graph_;
  const float pixel_scale_;
  std::map<std::string, const Parameter*> parameters_;
  std::map<std::string, int> places_;  // how often a name was given
  std::vector<int> numbers_;           // of the model's nodes, by those of the graph's
  packed::Model model_;
};

}  // namespace

packed::Model freeze(nn::Module& net, const Shape& input, WeightRule* rule, Real pixel_scale) {
  std::vector<std::int64_t> batch{1};
  batch.insert(batch.end(), input.begin(), input.end());
  const Graph graph = nn::trace(net, {Shape(batch.data(), static_cast<int>(batch.size()))});
  const EvaluationScope deployed(net, rule);
  packed::Model model = Freezer(net, graph, pixel_scale).model();
  check_model(model);
  return model;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
