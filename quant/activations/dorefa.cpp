#include "quant/activations/dorefa.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "core/base/check.h"
#include "core/map.h"
#include "core/ops.h"
#include "core/tracer.h"
#include "nn/graph.h"
#include "quant/activations/option_text.h"
#include "quant/math/unit_interval.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// quantize_k of values in [0, 1], without codes: for more bits than these have.
Var quantize_values(const Var& r, int bits) {
  const int levels = highest_unit_level(bits);
  const auto n = static_cast<Real>(levels);
  return record(
      "quantize_activation", map(r.value(), [n](Real v) { return std::nearbyint(n * v) / n; }), {r},
      [](const Tensor& g) -> Gradients { return {g}; },
      [=] {
        return Attributes{{"bits", bits},   {"levels", levels},      {"alpha", 1.0},           {"steps", n},
                          {"scale", 1 / n}, {"rounding", "nearest"}, {"surrogate", "identity"}};
      });
}

// (tanh(x) + 1) / 2, one op of a graph.
Var unit_tanh(const Var& x) {
  return as_one_op(
      "unit_tanh", {}, [&] { return (tanh(x) + Real(1)) * Real(0.5); }, x);
}

}  // namespace

DorefaActivation::DorefaActivation(int bits, Bounding h, const Surrogate& surrogate)
    : bits_(bits), h_(h), surrogate_(surrogate) {
  highest_unit_level(bits);
  check_usage(
      (h == Bounding::clip && bits <= kMostCodedUnitBits) || &surrogate == &coarsegrad::surrogate("clipped_relu"),
      "dorefa activation: given the surrogate ", surrogate.name(), ", expected that of its own bounding function");
}

// In front of the grid, where h is not its own clipping: the surrogate of the rounding is the identity there,
// that of min(., 1) the clipped ReLU.
ActivationMap DorefaActivation::map() const {
  const Surrogate& s = h_ == Bounding::tanh ? coarsegrad::surrogate("identity") : surrogate_;
  return onto_grid(unit_interval<Real>(bits_), bits_, s);
}

Var DorefaActivation::forward(const Var& x) {
  const Var bounded = h_ == Bounding::clip ? x : h_ == Bounding::absolute ? abs(x) : unit_tanh(x);
  if (quantizing_ && bits_ <= kMostCodedUnitBits) return GridActivation::forward(bounded);
  const Var clipped = clamp(bounded, 0, 1);
  return quantizing_ ? quantize_values(clipped, bits_) : clipped;
}

int DorefaActivation::bits() const { return quantizing_ ? bits_ : 32; }

void describe(OptionVisitor& v, DorefaOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 16});
  option_text::describe_surrogate(v, o.surrogate);
}

void describe(OptionVisitor& v, BoundedOptions& o) { v.integer(option_text::activation_bits(), o.bits, {1, 16}); }

nn::MakeActivation dorefa_activation(int bits, Bounding h, const Surrogate& surrogate) {
  return [bits, h, &surrogate](const std::string&) { return std::make_unique<DorefaActivation>(bits, h, surrogate); };
}

std::string last_activation(nn::Module& net, const Shape& image) {
  const nn::Graph graph = nn::trace_image(net, image);
  std::map<std::string, nn::Module*> modules;
  for (const auto& [name, module] : net.named_modules()) modules[name] = module;
  const auto is_product = [](const nn::Graph::Node& n) { return n.op == "conv2d" || n.op == "linear"; };
  const auto last = std::ranges::find_if(graph.nodes.rbegin(), graph.nodes.rend(), is_product);
  if (last == graph.nodes.rend()) return "";
  for (const nn::Graph::Node* at = &*last; !at->inputs.empty() && at->inputs.front() != nn::Graph::kNone;) {
    at = &graph.nodes[static_cast<std::size_t>(at->inputs.front())];
    if (is_product(*at)) return "";
    if (modules.at(at->module)->activation()) return graph.uses(at->module) == 1 ? at->module : "";
  }
  return "";
}

bool keep_last_activation_float(nn::Module& net, const Shape& image) {
  const std::string last = last_activation(net, image);
  for (const auto& [name, module] : net.named_modules())
    if (!last.empty() && name == last) return module->activation()->quantize(false);
  return false;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
