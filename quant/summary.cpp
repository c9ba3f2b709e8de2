#include "quant/summary.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

using nn::Graph;

// The elements of the result are among those of the inputs, or zeros: a grid stays one.
bool picks_elements(const Graph::Node& node) {
  static const std::set<std::string> ops{"max_pool2d", "reshape", "slice", "pad", "concatenate", "subsample2d"};
  return ops.contains(node.op);
}

Shape without_batch(const Shape& batch) {
  return batch.rank() == 0 ? batch : Shape(batch.begin() + 1, batch.rank() - 1);
}

class Summarizer {
 public:
  Summarizer(nn::Module& net, const Graph& graph, const WeightRule* rule) : graph_(graph) {
    for (const auto& [name, module] : net.named_modules())
      if (!name.empty()) parents_.insert(name.substr(0, name.find_last_of('.') + 1));
    for (const auto& [name, parameter] : net.named_parameters()) {
      own_[name.substr(0, name.find_last_of('.') + 1)].push_back(name);
      parameters_[name] = parameter;
    }
    if (rule)
      for (const WeightRule::Entry& entry : rule->weights()) rule_bits_[entry.weight] = entry.projection->bits();
    for (const Graph::Node& node : graph.nodes)
      for (const std::string& name : graph.parameters(node)) {
        check(parameters_.contains(name), "summary: given a graph with the parameter '", name,
              "', expected one of this network");
        if (node.op == "batch_norm") folded_.insert(name);
      }
    find_bits();
  }

  /// Rows in the order of execution: calls by their beginnings, and between them ops that belong to no row.
  Summary summary() {
    std::size_t call = 0;
    for (std::size_t i = 0; i <= graph_.nodes.size(); ++i) {
      for (; call < graph_.calls.size() && graph_.calls[call].begin <= static_cast<int>(i); ++call)
        if (is_row(graph_.calls[call])) add_call(call);
      if (i < graph_.nodes.size()) add_op(graph_.nodes[i]);
    }
    return std::move(summary_);
  }

 private:
  /// How a deployed network keeps a parameter: numbers of so many bits, and beside them so many floats.
  struct Packed {
    int bits = kFloatBits;
    std::int64_t factors = 0;
  };

  Packed packed(const Parameter& p) const {
    if (const Deferred* codes = p.effective.source(); codes && codes->bits() > 0)
      return {codes->bits(), static_cast<std::int64_t>(codes->scales().size())};
    const auto found = rule_bits_.find(&p);
    if (found == rule_bits_.end() || found->second >= kFloatBits) return {};
    return {found->second, 2};  // values on a grid without codes: a step and an offset
  }

  /// Bits of the value of every node.
  void find_bits() {
    std::map<int, int> said;  // by modules, of what they put out
    for (const Graph::Call& call : graph_.calls)
      if (const auto* bits = find_attribute<std::int64_t>(call.attributes, "bits"))
        said[call.output] = static_cast<int>(*bits);
    for (const Graph::Node& node : graph_.nodes) {
      const auto found = said.find(static_cast<int>(bits_.size()));
      bits_.push_back(found != said.end() ? found->second : bits_of(node));
    }
  }
  int bits_of(const Graph::Node& node) const {
    if (!node.parameter.empty()) return packed(*parameters_.at(node.parameter)).bits;
    if (const auto* bits = find_attribute<std::int64_t>(node.attributes, "bits")) return static_cast<int>(*bits);
    return picks_elements(node) ? bits_of(node.inputs) : kFloatBits;
  }
  int bits_of(int node) const { return node == Graph::kNone ? kFloatBits : bits_[static_cast<std::size_t>(node)]; }
  /// The most of them.
  int bits_of(const std::vector<int>& nodes) const {
    int most = 0;
    for (const int node : nodes) most = std::max(most, bits_of(node));
    return most == 0 ? kFloatBits : most;
  }

  const Graph::Node& input(const Graph::Node& node, std::size_t i) const {
    return graph_.nodes[static_cast<std::size_t>(node.inputs[i])];
  }

  /// Which input of a product is the weight; -1 for other ops.
  int weight_of(const Graph::Node& node) const {
    if (node.op == "conv2d" || node.op == "linear") return 1;
    if (node.op != "matmul") return -1;
    return !input(node, 1).parameter.empty() ? 1 : !input(node, 0).parameter.empty() ? 0 : -1;
  }
  /// Multiplications behind one output: the elements of the weight that belong to it.
  std::int64_t products(const Graph::Node& node, int weight) const {
    const Shape& w = input(node, static_cast<std::size_t>(weight)).shape;
    if (node.op != "matmul") return w[0] ? w.numel() / w[0] : 0;
    const bool transposed = *find_attribute<bool>(node.attributes, weight == 0 ? "transpose_a" : "transpose_b");
    return w[(weight == 0) != transposed ? 1 : 0];
  }

  /// What a row has from one of its ops.
  void add_costs(LayerSummary& row, const Graph::Node& node) {
    if (const int weight = weight_of(node); weight >= 0) {
      const int weight_bits = bits_of(node.inputs[static_cast<std::size_t>(weight)]),
                input_bits = bits_of(node.inputs[static_cast<std::size_t>(1 - weight)]);
      const std::int64_t macs = node.shape.numel() * products(node, weight);
      row.weight_bits = std::max(row.weight_bits, weight_bits);
      row.macs += macs;
      row.bops += macs * weight_bits * input_bits;
    }
    add_parameters(row, graph_.parameters(node));
    if (node.op == "batch_norm" && is_first(node.call)) row.bytes += node.shape[-1] * 8;
  }
  /// Each parameter belongs to the first row that has it. What a normalisation has is in its factors and offsets.
  void add_parameters(LayerSummary& row, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (!counted_.insert(name).second) continue;
      const Parameter& p = *parameters_.at(name);
      row.parameters += p.value.numel();
      if (folded_.contains(name)) continue;
      const auto [bits, factors] = packed(p);
      row.bytes += (p.value.numel() * bits + 7) / 8 + 4 * factors;
    }
  }

  /// Whether the module of this call has not been called before.
  bool is_first(int call) const {
    const std::string& module = graph_.calls[static_cast<std::size_t>(call)].module;
    return std::ranges::find(graph_.calls, module, &Graph::Call::module) - graph_.calls.begin() == call;
  }

  static std::string prefix(const std::string& module) { return module.empty() ? "" : module + "."; }
  bool is_row(const Graph::Call& call) const {
    return call.output != Graph::kNone &&
           (!parents_.contains(prefix(call.module)) || own_.contains(prefix(call.module)));
  }

  void add_call(std::size_t number) {
    const Graph::Call& call = graph_.calls[number];
    const Graph::Node& output = graph_.nodes[static_cast<std::size_t>(call.output)];
    LayerSummary row{call.module, call.kind, without_batch(output.shape), graph_.uses(call.module)};
    row.input_bits = bits_of(call.inputs);
    row.output_bits = bits_of(call.output);
    if (const auto own = own_.find(prefix(call.module)); own != own_.end()) add_parameters(row, own->second);
    for (int i = call.begin; i < call.end; ++i)
      if (const Graph::Node& node = graph_.nodes[static_cast<std::size_t>(i)]; node.call == static_cast<int>(number))
        add_costs(row, node);
    add(std::move(row));
  }

  /// An op that a module carries out between its submodules, where it has parameters.
  void add_op(const Graph::Node& node) {
    const bool has_costs = weight_of(node) >= 0 || node.op == "batch_norm" || !graph_.parameters(node).empty();
    if (!has_costs || is_row(graph_.calls[static_cast<std::size_t>(node.call)])) return;
    LayerSummary row{node.module, node.op, without_batch(node.shape)};
    row.input_bits = bits_of(weight_of(node) == 0 ? node.inputs[1] : node.inputs[0]);
    row.output_bits = bits_[static_cast<std::size_t>(&node - graph_.nodes.data())];
    add_costs(row, node);
    add(std::move(row));
  }

  void add(LayerSummary row) {
    summary_.parameters += row.parameters;
    summary_.bytes += row.bytes;
    summary_.macs += row.macs;
    summary_.bops += row.bops;
    summary_.layers.push_back(std::move(row));
  }

  const Graph& graph_;
  std::set<std::string> parents_;                        // prefixes below which there are modules
  std::map<std::string, std::vector<std::string>> own_;  // parameters by prefix
  std::map<std::string, const Parameter*> parameters_;
  std::map<const Parameter*, int> rule_bits_;
  std::set<std::string> folded_;   // parameters of normalisations
  std::set<std::string> counted_;  // parameters that a row has
  std::vector<int> bits_;          // of the nodes
  Summary summary_;
};

}  // namespace

Summary summarize(nn::Module& net, const nn::Graph& graph, const WeightRule* rule) {
  return Summarizer(net, graph, rule).summary();
}

Summary summarize(nn::Module& net, const Shape& image, const WeightRule* rule) {
  return summarize(net, nn::trace_image(net, image), rule);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
