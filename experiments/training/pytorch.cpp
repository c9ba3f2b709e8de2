#include "experiments/training/pytorch.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/check.h"
#include "core/base/short_text.h"
#include "nn/graph.h"
#include "quant/evaluation_scope.h"

namespace coarsegrad::experiments {
namespace {

using nn::Graph;

std::string layer_of(const std::string& name) { return name.substr(0, name.rfind('.') + 1); }
std::string leaf_of(const std::string& name) { return name.substr(name.rfind('.') + 1); }

/// What a parameter is to the op that reads it.
struct Role {
  enum { other, norm_scale, norm_shift, conv_weight, dense_weight } as = other;
  Shape image = {};  ///< of a dense weight: (H, W, C) of the flattened image that it is multiplied with
};

/// The shape (H, W, C) of the image that a value is the flattened form of, element by element; rank 0 where it is none.
Shape flattened_image(const Graph& graph, int number) {
  const Shape flat = graph.nodes[static_cast<std::size_t>(number)].shape;
  while (number != Graph::kNone) {
    const Graph::Node& node = graph.nodes[static_cast<std::size_t>(number)];
    if (node.shape != flat || node.op == "linear" || node.op == "matmul" || node.inputs.empty()) break;
    number = node.inputs.front();
    if (node.op != "reshape") continue;
    const Shape& image = graph.nodes[static_cast<std::size_t>(number)].shape;
    if (image.rank() == 4 && image[0] == flat[0]) return {image[1], image[2], image[3]};
  }
  return {};
}

/// Roles by the names of the parameters; a parameter that no op reads has none.
std::map<std::string, Role> roles_in(const Graph& graph) {
  std::map<std::string, Role> roles;
  for (const Graph::Node& node : graph.nodes)
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == Graph::kNone) continue;
      const std::string& name = graph.nodes[static_cast<std::size_t>(node.inputs[i])].parameter;
      if (name.empty()) continue;
      Role role;
      if (node.op == "batch_norm") role.as = i == 1 ? Role::norm_scale : Role::norm_shift;
      if (node.op == "conv2d" && i == 1) role.as = Role::conv_weight;
      if (node.op == "linear" && i == 1) role = {Role::dense_weight, flattened_image(graph, node.inputs[0])};
      roles.try_emplace(name, role);
    }
  return roles;
}

PyTorchEntry entry_of(const std::string& name, const Shape& shape, const Role& role) {
  PyTorchEntry entry{name, name, shape, shape, {}};
  if (role.as == Role::norm_scale) entry.pytorch_name = layer_of(name) + "weight";
  if (role.as == Role::norm_shift) entry.pytorch_name = layer_of(name) + "bias";
  if (role.as == Role::conv_weight) {
    entry.channels_last = shape;
    entry.pytorch_shape = {shape[0], shape[3], shape[1], shape[2]};
  }
  if (role.as == Role::dense_weight && role.image.rank() == 3)
    entry.channels_last = {shape[0], role.image[0], role.image[1], role.image[2]};
  return entry;
}

/// Copies `from` so that the last axis of (O, H, W, I) comes second, or, the other way, back to the end.
enum class Direction { to_pytorch, from_pytorch };
std::vector<float> reordered(const std::vector<float>& from, const Shape& channels_last, Direction direction) {
  if (channels_last.rank() == 0) return from;
  const std::int64_t pixels = channels_last[1] * channels_last[2], channels = channels_last[3];
  std::vector<float> to(from.size());
  for (std::int64_t o = 0; o < channels_last[0]; ++o)
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto last = static_cast<std::size_t>((o * pixels + p) * channels + c);
        const auto first = static_cast<std::size_t>((o * channels + c) * pixels + p);
        if (direction == Direction::to_pytorch)
          to[first] = from[last];
        else
          to[last] = from[first];
      }
  return to;
}

using Tensors = std::vector<const StoredTensor*>;

constexpr const char* kQuantization = "quantization/";

/// The tensors of a file, without PyTorch's counters and what stands beside quantized weights and
/// activations, which take no part.
Tensors counted(const TensorFile& file) {
  Tensors tensors;
  for (const StoredTensor& t : file.tensors)
    if (leaf_of(t.name) != "num_batches_tracked" && !t.name.starts_with(kQuantization)) tensors.push_back(&t);
  return tensors;
}

void add_quantization(TensorFile& file, const std::string& of, const char* what, std::vector<float> values) {
  const Shape shape = values.size() == 1 ? Shape{} : Shape{std::ssize(values)};
  file.tensors.push_back({cat(kQuantization, of, "/", what), shape, std::move(values)});
}

void add_quantization(TensorFile& file, const quant::WeightRule& rule) {
  for (const quant::WeightRule::Entry& e : rule.weights()) {
    add_quantization(file, e.name, "bits", {static_cast<float>(e.projection->bits())});
    if (const Coded* coded = e.weight->effective.coded())
      add_quantization(file, e.name, "scale", {coded->scales().begin(), coded->scales().end()});
  }
}

/// The grids of the activations, by the module that has them.
void add_quantization(TensorFile& file, const Graph& graph) {
  std::set<std::string> done;
  for (const Graph::Node& node : graph.nodes) {
    const auto* scale = find_attribute<double>(node.attributes, "scale");
    if (node.op != "quantize_activation" || !scale || !done.insert(node.module).second) continue;
    const auto whole = [&node](const char* what) {
      return static_cast<float>(*find_attribute<std::int64_t>(node.attributes, what));
    };
    add_quantization(file, node.module, "bits", {whole("bits")});
    add_quantization(file, node.module, "alpha", {static_cast<float>(*scale)});
    add_quantization(file, node.module, "levels", {whole("levels")});
  }
}

Tensors matched_by_name(const std::vector<PyTorchEntry>& entries, const Tensors& tensors) {
  std::map<std::string, const StoredTensor*> by_name;
  for (const StoredTensor* t : tensors) by_name[t->name] = t;
  Tensors matched;
  for (const PyTorchEntry& e : entries) {
    check(by_name.contains(e.pytorch_name), "from_pytorch: '", e.pytorch_name, "' is missing (matching by order ",
          "does not ask for names)");
    matched.push_back(by_name.extract(e.pytorch_name).mapped());
  }
  check(by_name.empty(), "from_pytorch: ", in_quotes(by_name.empty() ? "" : by_name.begin()->first),
        " is unknown to this network");
  return matched;
}

/// The n-th layer of the file for the n-th layer of the network, their entries by leaf name.
Tensors matched_by_order(const std::vector<PyTorchEntry>& entries, const Tensors& tensors) {
  Tensors matched;
  std::size_t next = 0;
  for (std::size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
    while (end < entries.size() && layer_of(entries[end].name) == layer_of(entries[begin].name)) ++end;
    check(next < tensors.size(), "from_pytorch: the file ends before '", entries[begin].name, "'");
    const std::string layer = layer_of(tensors[next]->name);
    std::map<std::string, const StoredTensor*> leaves;
    for (; next < tensors.size() && layer_of(tensors[next]->name) == layer; ++next)
      leaves[leaf_of(tensors[next]->name)] = tensors[next];
    for (std::size_t i = begin; i < end; ++i) {
      const std::string leaf = leaf_of(entries[i].pytorch_name);
      check(leaves.contains(leaf), "from_pytorch: given the layer ", in_quotes(layer), " without '", leaf, "' for '",
            entries[i].name, "'");
      matched.push_back(leaves.extract(leaf).mapped());
    }
    check(leaves.empty(), "from_pytorch: ", in_quotes(leaves.empty() ? "" : leaves.begin()->second->name),
          " has no counterpart in '", layer_of(entries[begin].name), "'");
  }
  check(next == tensors.size(), "from_pytorch: ", in_quotes(next < tensors.size() ? tensors[next]->name : ""),
        " comes after the last layer of the network");
  return matched;
}

}  // namespace

std::vector<PyTorchEntry> pytorch_entries(nn::Module& net, const Graph& graph) {
  const auto roles = roles_in(graph);
  const nn::StateDict state = net.state_dict();
  for (const auto& [name, parameter] : net.named_parameters())
    check(roles.contains(name) || parameter->value.shape().rank() < 2, "pytorch: '", name,
          "' takes no part in the forward pass, expected an op that says how PyTorch orders its elements");
  std::vector<PyTorchEntry> entries;
  for (const auto& [path, module] : net.named_modules()) {
    const std::string prefix = path.empty() ? "" : path + ".";
    for (const auto& [name, value] : state) {
      if (layer_of(name) != prefix) continue;
      const auto role = roles.find(name);
      entries.push_back(entry_of(name, value.shape(), role == roles.end() ? Role{} : role->second));
    }
  }
  return entries;
}

namespace {

TensorFile in_their_layout(nn::Module& net, const Graph& graph, const std::map<std::string, Tensor>& values) {
  TensorFile file;
  for (const PyTorchEntry& e : pytorch_entries(net, graph)) {
    const auto view = values.at(e.name).view();
    const std::vector<float> own(view.begin(), view.end());
    file.tensors.push_back({e.pytorch_name, e.pytorch_shape, reordered(own, e.channels_last, Direction::to_pytorch)});
  }
  return file;
}

std::map<std::string, Tensor> values_of(nn::Module& net) {
  const nn::StateDict state = net.state_dict();
  return {state.begin(), state.end()};
}

}  // namespace

TensorFile to_pytorch(nn::Module& net, const Shape& image) {
  return in_their_layout(net, nn::trace_image(net, image), values_of(net));
}

TensorFile to_pytorch(nn::Module& net, const Shape& image, quant::WeightRule* rule) {
  const quant::EvaluationScope deployed(net, rule);
  std::map<std::string, Tensor> values = values_of(net);
  if (rule)
    for (const quant::WeightRule::Entry& e : rule->weights()) values[e.name] = e.weight->effective;
  const Graph graph = nn::trace_image(net, image);
  TensorFile file = in_their_layout(net, graph, values);
  if (rule) add_quantization(file, *rule);
  add_quantization(file, graph);
  return file;
}

void from_pytorch(const TensorFile& file, nn::Module& net, const Shape& image, PyTorchMatching matching) {
  const std::vector<PyTorchEntry> entries = pytorch_entries(net, nn::trace_image(net, image));
  const Tensors tensors = counted(file);
  const Tensors matched =
      matching == PyTorchMatching::names ? matched_by_name(entries, tensors) : matched_by_order(entries, tensors);
  nn::StateDict state;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const PyTorchEntry& e = entries[i];
    check(matched[i]->shape == e.pytorch_shape, "from_pytorch: given ", in_quotes(matched[i]->name), " of shape ",
          matched[i]->shape, " for '", e.name, "', expected ", e.pytorch_shape);
    const auto values = reordered(matched[i]->values, e.channels_last, Direction::from_pytorch);
    state.emplace_back(e.name, Tensor(e.shape, std::vector<Real>(values.begin(), values.end())));
  }
  net.load_state_dict(state);
}

}  // namespace coarsegrad::experiments
