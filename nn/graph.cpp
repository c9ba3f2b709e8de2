#include "nn/graph.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {
namespace {

// Evaluation mode with the float copies of the weights; what was there, and what a forward pass may have changed, is
// brought back at the end.
class Evaluation {
 public:
  explicit Evaluation(Module& net) {
    for (const auto& [name, module] : net.named_modules()) modes_.emplace_back(module, module->training());
    for (const auto& [name, p] : net.named_parameters()) {
      tensors_.emplace_back(&p->value, p->value);
      tensors_.emplace_back(&p->effective, std::exchange(p->effective, {}));
    }
    for (const auto& [name, buffer] : net.named_buffers()) tensors_.emplace_back(buffer, *buffer);
    for (const auto& [name, rng] : net.named_generators()) generators_.emplace_back(rng, *rng);
    net.eval();
  }
  ~Evaluation() {
    for (const auto& [module, training] : modes_) module->train(training);  // each after the one around it
    for (auto& [tensor, value] : tensors_) *tensor = std::move(value);
    for (const auto& [rng, position] : generators_) *rng = position;
  }
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> modes_;
  std::vector<std::pair<Tensor*, Tensor>> tensors_;
  std::vector<std::pair<Rng*, Rng>> generators_;
};

std::string module_of(const std::string& parameter) {
  const std::size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

// Marks of different traces differ: a value that one has left behind is a constant to the next.
Tracer::Mark marks_of_a_trace() {
  static std::atomic<Tracer::Mark> traces{0};
  return (traces.fetch_add(1, std::memory_order_relaxed) + 1) << 32;
}

class GraphTracer : public Tracer {
 public:
  explicit GraphTracer(Module& net) : first_mark_(marks_of_a_trace()), net_path_(net.path()) {
    for (const auto& [name, parameter] : net.named_parameters()) parameters_[parameter] = {name, Graph::kNone};
  }

  Var input(const Shape& shape) {
    graph.inputs.push_back(add({.op = "input", .shape = shape}));
    return marked(Var(Tensor(shape)), mark(graph.inputs.back()));
  }

  Mark op(const char* name, const std::vector<Var>& inputs, const Shape& shape, const Attributes& attributes) override {
    std::vector<int> from = numbers(inputs);
    while (!from.empty() && from.back() == Graph::kNone) from.pop_back();
    return mark(add_here({.op = name, .inputs = std::move(from), .shape = shape, .attributes = attributes}));
  }

  Mark parameter(const Parameter& parameter) override {
    const auto found = parameters_.find(&parameter);
    if (found == parameters_.end()) return 0;
    auto& [name, number] = found->second;
    if (number == Graph::kNone)
      number = add({.op = "parameter", .shape = parameter.value.shape(), .module = module_of(name), .parameter = name});
    return mark(number);
  }

  void enter(const std::string& path, const std::string& kind, const std::vector<Var>& inputs,
             const Attributes& attributes) override {
    const auto below = below_the_network(path);
    if (!below) {
      open_.push_back({open_.back().call, false});
      return;
    }
    std::vector<int> from = numbers(inputs);
    graph.calls.push_back({.module = *below,
                           .kind = kind,
                           .attributes = attributes,
                           .inputs = std::move(from),
                           .begin = static_cast<int>(graph.nodes.size())});
    open_.push_back({static_cast<int>(graph.calls.size()) - 1, true});
  }

  void leave(const Var& output) override {
    const int from = number(output);
    const Open last = open_.back();
    open_.pop_back();
    if (!last.own) return;
    Graph::Call& call = graph.calls[static_cast<std::size_t>(last.call)];
    call.output = from;
    call.end = static_cast<int>(graph.nodes.size());
    if (open_.empty()) graph.output = from;
  }

  Graph graph;

 private:
  struct Open {
    int call;
    bool own;  // false for a module that is not below the network
  };
  struct Known {
    std::string name;
    int number;  // kNone until it is read
  };

  Mark mark(int number) const { return first_mark_ + static_cast<Mark>(number); }

  int number(const Var& value) {
    const Mark place = mark_of(value) - first_mark_;
    if (place < graph.nodes.size()) return static_cast<int>(place);
    if (!value.defined()) return Graph::kNone;
    return add_here({.op = "constant", .shape = value.shape(), .attributes = {{"value", value.value()}}});
  }
  std::vector<int> numbers(const std::vector<Var>& values) {
    std::vector<int> all;
    for (const Var& value : values) all.push_back(number(value));
    return all;
  }

  int add(Graph::Node node) {
    graph.nodes.push_back(std::move(node));
    return static_cast<int>(graph.nodes.size()) - 1;
  }
  int add_here(Graph::Node node) {
    node.call = open_.empty() ? Graph::kNone : open_.back().call;
    if (node.call != Graph::kNone) node.module = graph.calls[static_cast<std::size_t>(node.call)].module;
    return add(std::move(node));
  }

  // The path as seen from the network, which is entered first and once.
  std::optional<std::string> below_the_network(const std::string& path) const {
    if (open_.empty()) return "";
    const std::string prefix = net_path_.empty() ? "" : net_path_ + ".";
    if (path.size() <= prefix.size() || !path.starts_with(prefix)) return std::nullopt;
    return path.substr(prefix.size());
  }

  const Mark first_mark_;
  const std::string net_path_;
  std::map<const Parameter*, Known> parameters_;
  std::vector<Open> open_;
};

}  // namespace

int Graph::uses(const std::string& module) const {
  return static_cast<int>(std::ranges::count_if(calls, [&module](const Call& call) { return call.module == module; }));
}

std::vector<std::string> Graph::parameters(const Node& node) const {
  std::vector<std::string> names;
  for (const int from : node.inputs)
    if (from != kNone && !nodes[static_cast<std::size_t>(from)].parameter.empty())
      names.push_back(nodes[static_cast<std::size_t>(from)].parameter);
  return names;
}

Graph trace(Module& net, const std::vector<Shape>& inputs) {
  const Evaluation unchanged(net);
  const NoGrad constant;
  GraphTracer tracer(net);
  std::vector<Var> values;
  for (const Shape& shape : inputs) values.push_back(tracer.input(shape));
  const TracerScope scope(&tracer);
  net(values);
  return std::move(tracer.graph);
}

Graph trace_image(Module& net, const Shape& image) {
  check(image.rank() == 3, "trace: given an image of shape ", image, ", expected (H,W,C)");
  return trace(net, {{1, image[0], image[1], image[2]}});
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
