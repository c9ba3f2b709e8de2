// The summary of a network of one's own: two inputs, a module that both go through, and ops that belong to no layer.
#include "nn/graph.h"

#include <cstdio>
#include <string>

#include "nn/layers.h"
#include "quant/activations/uniform.h"
#include "quant/summary.h"

using namespace coarsegrad;

namespace {

/// How alike are an image (8, 8, 3) and a sketch (8, 8, 3)? Both pass the same tower; a weight that no layer has
/// multiplies what they differ in.
class Alike : public nn::Module {
 public:
  explicit Alike(const Rng& rng)
      : metric(register_parameter("metric", Tensor({5, 4}, Real(0.5)))),
        tower(register_module<nn::Sequential>("tower")) {
    tower.add<nn::Conv2d>("conv", nn::ConvOptions{.in = 3, .out = 4, .stride = 2, .padding = 1, .bias = false},
                          rng.split("conv"));
    tower.add<nn::BatchNorm>("norm", 4);
    tower.append("act", quant::uniform_activation(2, surrogate("clipped_relu"))("act"));
  }
  Var forward_inputs(const std::vector<Var>& in) override {
    const Var image = global_avg_pool2d(tower(in.at(0))), sketch = global_avg_pool2d(tower(in.at(1)));
    return sum(relu(linear(abs(image - sketch), metric.var())), 1);
  }
  Parameter& metric;
  nn::Sequential& tower;
};

int wrong = 0;

template <class A, class B>
void expect(const std::string& what, const A& found, const B& wanted) {
  if (found == wanted) return;
  std::printf("wrong: %s\n", what.c_str());
  ++wrong;
}

}  // namespace

int main() {
  Alike net(Rng(1));
  const nn::Graph graph = nn::trace(net, {{1, 8, 8, 3}, {1, 8, 8, 3}});
  std::string ops;
  for (const nn::Graph::Node& node : graph.nodes)
    if (node.module.empty() && node.op != "parameter") ops += node.op + " ";
  expect("the ops outside of layers", ops,
         "input input global_avg_pool2d global_avg_pool2d subtract abs linear relu sum ");
  expect("uses of the tower", graph.uses("tower"), 2);

  const quant::Summary summary = quant::summarize(net, graph);
  const char* names[] = {"", "tower.conv", "tower.norm", "tower.act", "tower.conv", "tower.norm", "tower.act"};
  const char* kinds[] = {"Alike",  "Conv2d",    "BatchNorm",        "UniformActivation",
                         "Conv2d", "BatchNorm", "UniformActivation"};
  const std::int64_t conv = 4 * 4 * 4 * 27, parameters[] = {20, 108, 8, 0, 0, 0, 0},
                     macs[] = {20, conv, 0, 0, conv, 0, 0};
  expect("the number of layers", summary.layers.size(), 7U);
  for (std::size_t i = 0; i < summary.layers.size() && i < 7; ++i) {
    const quant::LayerSummary& layer = summary.layers[i];
    std::printf("%-10s %-17s %-8s %4d %6d\n", layer.name.c_str(), layer.kind.c_str(), layer.output.str().c_str(),
                static_cast<int>(layer.parameters), static_cast<int>(layer.macs));
    expect(layer.name + ": name", layer.name, names[i]);
    expect(layer.name + ": kind", layer.kind, kinds[i]);
    expect(layer.name + ": shape", layer.output, i == 0 ? Shape{} : Shape{4, 4, 4});
    expect(layer.name + ": parameters", layer.parameters, parameters[i]);
    expect(layer.name + ": multiplications", layer.macs, macs[i]);
    expect(layer.name + ": uses", layer.uses, i == 0 ? 1 : 2);
    expect(layer.name + ": bits", layer.output_bits, layer.kind == "UniformActivation" ? 2 : 32);
  }
  expect("all parameters", summary.parameters, 136);
  expect("all multiplications", summary.macs, 20 + 2 * conv);
  if (wrong == 0) std::puts("the summary is right");
  return wrong == 0 ? 0 : 1;
}
