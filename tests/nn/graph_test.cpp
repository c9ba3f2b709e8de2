// Graphs of networks: what is computed, in which order, from what, and by which module.
#include "nn/graph.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/map.h"
#include "core/tracer.h"
#include "nn/activation.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using nn::Graph;
using Names = std::vector<std::string>;

namespace {

const Graph::Node& at(const Graph& graph, int number) { return graph.nodes.at(static_cast<std::size_t>(number)); }

/// The ops proper, in order.
std::vector<const Graph::Node*> ops(const Graph& graph) {
  std::vector<const Graph::Node*> all;
  for (const Graph::Node& node : graph.nodes)
    if (node.op != "input" && node.op != "parameter" && node.op != "constant") all.push_back(&node);
  return all;
}
Names names(const Graph& graph) {
  Names all;
  for (const Graph::Node* node : ops(graph)) all.push_back(node->op);
  return all;
}
Names called(const Graph& graph) {
  Names all;
  for (const Graph::Call& call : graph.calls) all.push_back(call.module);
  return all;
}
std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

std::unique_ptr<nn::Sequential> small_net() {
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Conv2d>("conv", nn::ConvOptions{.in = 2, .out = 8, .stride = 2, .padding = 1}, Rng(1));
  net->add<nn::BatchNorm>("norm", 8);
  net->add<nn::ReLU>("act");
  net->add<nn::Flatten>("flatten");
  net->add<nn::Dropout>("dropout", Real(0.5), Rng(2));
  net->add<nn::Linear>("fc", 32, 3, Rng(3), false);
  return net;
}

/// Two inputs through one tower. What they differ in is weighted, and put beside the second input plus 1, by ops
/// of no layer.
class Pair : public nn::Module {
 public:
  Pair() : weight(register_parameter("weight", Tensor({8}, Real(2)))), tower(register_module<nn::Sequential>("tower")) {
    tower.add<nn::Linear>("fc", 4, 8, Rng(1));
    tower.add<nn::ReLU>("act");
  }
  Var forward_inputs(const std::vector<Var>& in) override {
    const Var left = tower(in[0]), right = tower(in[1]);
    const Var apart = abs(left - right) * weight.var(), more = in[1] + Real(1);
    return concatenate({apart, more}, 1);
  }
  Parameter& weight;
  nn::Sequential& tower;
};

/// Breaks all the rules: counts its calls in a buffer, moves a parameter, draws in evaluation mode.
class Restless : public nn::Module {
 public:
  Restless()
      : moved(register_parameter("moved", Tensor({2}))),
        calls(register_buffer("calls", Tensor({1}))),
        rng(register_generator("rng", Rng(7))),
        norm(register_module<nn::BatchNorm>("norm", 2)) {}
  Var forward(const Var& x) override {
    calls.mutable_data()[0] += 1;
    moved.value = map(moved.value, [](Real v) { return v + 1; });
    const Var y = dropout(norm(x), Real(0.5), rng);
    check(!refuses, "restless: given an input, expected none");
    return y;
  }
  Parameter& moved;
  Tensor& calls;
  Rng& rng;
  nn::BatchNorm& norm;
  bool refuses = false;
};

}  // namespace

TEST_CASE("graph: nodes stand in the order of execution, with inputs, shapes, attributes and modules") {
  const auto net = small_net();
  const Graph g = nn::trace(*net, {{1, 4, 4, 2}});
  CHECK(names(g) == Names{"conv2d", "batch_norm", "relu", "reshape", "linear"});
  REQUIRE(g.inputs == std::vector<int>{0});
  CHECK(g.nodes[0].op == "input");
  CHECK(g.nodes[0].shape == Shape{1, 4, 4, 2});
  CHECK(at(g, g.output).op == "linear");
  const auto all = ops(g);
  CHECK(g.parameters(*all[0]) == Names{"conv.weight", "conv.bias"});
  CHECK(g.parameters(*all[1]) == Names{"norm.scale", "norm.shift"});
  CHECK(g.parameters(*all[2]).empty());
  CHECK(g.parameters(*all[4]) == Names{"fc.weight"});
  Names modules;
  int previous = 0;
  for (const Graph::Node* node : all) {
    CHECK(node->inputs.front() == previous);  // a chain
    previous = static_cast<int>(node - g.nodes.data());
    modules.push_back(node->module);
    CHECK(g.calls[static_cast<std::size_t>(node->call)].module == node->module);
    for (const int from : node->inputs) CHECK(from < previous);
  }
  CHECK(modules == Names{"conv", "norm", "act", "flatten", "fc"});
  CHECK(all[0]->shape == Shape{1, 2, 2, 8});
  CHECK(all[3]->shape == Shape{1, 32});
  CHECK(*find_attribute<std::vector<std::int64_t>>(all[0]->attributes, "stride") == std::vector<std::int64_t>{2, 2});
  CHECK(values(*find_attribute<Tensor>(all[1]->attributes, "mean")) == std::vector<Real>(8));
  const Graph::Node& weight = at(g, all[0]->inputs[1]);
  CHECK(weight.op == "parameter");
  CHECK(weight.parameter == "conv.weight");
  CHECK(weight.module == "conv");
  CHECK(weight.shape == Shape{8, 3, 3, 2});
  CHECK(weight.call == Graph::kNone);
}

TEST_CASE("graph: calls of modules, one that computes nothing included") {
  const auto net = small_net();
  const Graph g = nn::trace(*net, {{2, 4, 4, 2}});
  CHECK(called(g) == Names{"", "conv", "norm", "act", "flatten", "dropout", "fc"});
  const Graph::Call &whole = g.calls[0], &flatten = g.calls[4], &dropout = g.calls[5];
  CHECK(whole.kind == "Sequential");
  CHECK(whole.inputs == g.inputs);
  CHECK(whole.output == g.output);
  CHECK(whole.begin == 1);
  CHECK(whole.end == static_cast<int>(g.nodes.size()));
  CHECK(dropout.kind == "Dropout");  // in evaluation mode it passes on what it gets
  CHECK(dropout.begin == dropout.end);
  CHECK(dropout.inputs == std::vector<int>{flatten.output});
  CHECK(dropout.output == flatten.output);
  for (const Graph::Call& call : g.calls) CHECK(g.uses(call.module) == 1);
  CHECK(g.uses("nobody") == 0);
}

TEST_CASE("graph: two inputs, functional ops outside of modules, a module that is used twice") {
  Pair net;
  const Graph g = nn::trace(net, {{1, 4}, {1, 4}});
  CHECK(names(g) == Names{"linear", "relu", "linear", "relu", "subtract", "abs", "multiply", "add", "concatenate"});
  CHECK(g.inputs == std::vector<int>{0, 1});
  const auto all = ops(g);
  const auto number = [&](std::size_t i) { return static_cast<int>(all[i] - g.nodes.data()); };
  CHECK(all[0]->inputs[0] == 0);
  CHECK(all[2]->inputs[0] == 1);
  CHECK(all[0]->inputs[1] == all[2]->inputs[1]);  // one weight
  CHECK(std::ranges::count(g.nodes, "tower.fc.weight", &Graph::Node::parameter) == 1);
  CHECK(g.uses("tower.fc") == 2);
  CHECK(g.uses("") == 1);
  CHECK(all[4]->inputs == std::vector<int>{number(1), number(3)});
  CHECK(all[4]->module.empty());
  CHECK(all[2]->module == "tower.fc");
  CHECK(g.parameters(*all[6]) == Names{"weight"});
  CHECK(all[8]->inputs == std::vector<int>{number(6), number(7)});
  CHECK(all[8]->shape == Shape{1, 12});
  const Graph::Node& one = at(g, all[7]->inputs[1]);
  CHECK(one.op == "constant");
  CHECK(one.shape == Shape{});
  CHECK(find_attribute<Tensor>(one.attributes, "value")->item() == 1);
  CHECK(called(g) == Names{"", "tower", "tower.fc", "tower.act", "tower", "tower.fc", "tower.act"});
  CHECK(g.calls[0].inputs == g.inputs);
}

TEST_CASE("graph: a residual block is its convolutions, normalisations, sums and activations") {
  const auto net = nn::resnet(8, nn::relu_activation(), Rng(1), {.width = 8});
  const Graph g = nn::trace_image(*net, {32, 32, 3});
  const auto count = [&](const char* op) { return std::ranges::count(g.nodes, op, &Graph::Node::op); };
  CHECK(count("conv2d") == 7);
  CHECK(count("batch_norm") == 7);
  CHECK(count("add") == 3);
  CHECK(count("relu") == 7);
  CHECK(count("subsample2d") == 2);
  CHECK(g.uses("stages.stage2_block1.act") == 2);
  const auto sum = std::ranges::find_if(
      g.nodes, [](const Graph::Node& n) { return n.op == "add" && n.module == "stages.stage2_block1"; });
  REQUIRE(sum != g.nodes.end());
  const Graph::Node &norm = at(g, sum->inputs[0]), &shortcut = at(g, sum->inputs[1]);
  CHECK(norm.op == "batch_norm");
  CHECK(norm.module == "stages.stage2_block1.norm2");
  CHECK(shortcut.op == "subsample2d");
  CHECK(shortcut.module == "stages.stage2_block1");
  CHECK(at(g, shortcut.inputs[0]).module == "stages.stage1_block1.act");  // what comes into the block
  const auto after = sum + 1;
  CHECK(after->op == "relu");
  CHECK(after->module == "stages.stage2_block1.act");
  CHECK(after->inputs == std::vector<int>{static_cast<int>(sum - g.nodes.begin())});
}

TEST_CASE("graph: an op of a user's own has its name and attributes, a parameter of nobody is a constant") {
  class Own : public nn::Module {
   public:
    Var forward(const Var& x) override {
      const Var y = record(
          "cube", map(x.value(), [](Real v) { return v * v * v; }), {x, stray.var()},
          [](const Tensor& g) -> Gradients {
            return {g, {}};
          },
          [] {
            return Attributes{{"power", 3}};
          });
      return Var(y.value());  // leaves the ops
    }
    Parameter stray{Tensor({3}, Real(5))};
  } net;
  const Graph g = nn::trace(net, {{2}});
  REQUIRE(names(g) == Names{"cube"});
  const Graph::Node& cube = *ops(g)[0];
  CHECK(*find_attribute<std::int64_t>(cube.attributes, "power") == 3);
  CHECK(at(g, cube.inputs[0]).op == "input");
  CHECK(at(g, cube.inputs[1]).op == "constant");
  CHECK(values(*find_attribute<Tensor>(at(g, cube.inputs[1]).attributes, "value")) == std::vector<Real>(3, 5));
  CHECK(at(g, g.output).op == "constant");
}

TEST_CASE("graph: a part of a network is a network, and an unregistered module a part of its caller") {
  class Outer : public nn::Module {
   public:
    Outer() : part(register_module<nn::Sequential>("part")) { part.add<nn::Linear>("fc", 2, 2, Rng(1)); }
    Var forward(const Var& x) override { return foreign(part(x)); }
    nn::Sequential& part;
    nn::ReLU foreign;
  } net;
  const Graph whole = nn::trace(net, {{1, 2}}), part = nn::trace(net.part, {{1, 2}});
  CHECK(called(whole) == Names{"", "part", "part.fc"});
  CHECK(ops(whole).back()->op == "relu");
  CHECK(ops(whole).back()->module.empty());
  CHECK(called(part) == Names{"", "fc"});
  CHECK(part.parameters(*ops(part)[0]) == Names{"fc.weight", "fc.bias"});
}

TEST_CASE("graph: hooks are called, and what they compute is no part of the network") {
  const auto net = small_net();
  const Names plain = names(nn::trace(*net, {{1, 4, 4, 2}}));
  int calls = 0;
  for (const auto& [name, module] : net->named_modules())
    module->register_forward_hook([&calls](nn::Module&, const Var&, const Var& y) {
      ++calls;
      sum(square(y));
    });
  CHECK(names(nn::trace(*net, {{1, 4, 4, 2}})) == plain);
  CHECK(calls == 7);
}

TEST_CASE("graph: a trace leaves modes, values, statistics and random streams as they were") {
  Restless net;
  for (const bool refuses : {false, true}) {
    net.train();
    net.norm.eval();  // frozen within a net that trains
    net.refuses = refuses;
    const nn::StateDict before = net.state_dict();
    const auto position = net.rng.position();
    if (refuses) {
      CHECK_THROWS_AS(nn::trace(net, {{4, 2}}), Error);
    } else {
      CHECK(names(nn::trace(net, {{4, 2}})) == Names{"batch_norm", "dropout"});
    }
    CHECK(net.training());
    CHECK(!net.norm.training());
    CHECK(net.rng.position() == position);
    const nn::StateDict after = net.state_dict();
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(values(after[i].second) == values(before[i].second));
    CHECK(tracer() == nullptr);
    CHECK(grad_enabled());
  }
}

TEST_CASE("graph: a module that catches the exception of another goes on with what is its own") {
  class Refuses : public nn::Module {
    Var forward(const Var& x) override {
      exp(x);
      throw Error("refused");
    }
  };
  class Tolerant : public nn::Module {
   public:
    Tolerant() : other(register_module<Refuses>("other")) {}
    Var forward(const Var& x) override {
      try {
        return other(x);
      } catch (const Error&) {
        return tanh(x);
      }
    }
    Module& other;
  } net;
  const Graph g = nn::trace(net, {{3}});
  CHECK(names(g) == Names{"exp", "tanh"});
  CHECK(ops(g)[0]->module == "other");
  CHECK(ops(g)[1]->module.empty());
  CHECK(g.calls[1].output == Graph::kNone);
  CHECK(at(g, g.output).op == "tanh");
}

TEST_CASE("graph: training has the same bits with traces in between, and a trace sees nothing of it") {
  const auto trained = [](bool traced) {
    const auto net = nn::resnet(8, nn::relu_activation(), Rng(3), {.classes = 5, .width = 8});
    optim::Sgd sgd(net->parameters(), {.lr = 0.1, .momentum = 0.9});
    const Tensor labels = Tensor::of<std::int32_t>({3}, {1, 0, 4});
    std::set<std::size_t> sizes;
    for (int step = 0; step < 3; ++step) {
      if (traced) sizes.insert(nn::trace_image(*net, {32, 32, 3}).nodes.size());
      sgd.zero_grad();
      cross_entropy((*net)(nn::normal({3, 32, 32, 3}, 1, Rng(4).split(step))), labels).backward();
      if (traced) sizes.insert(nn::trace_image(*net, {32, 32, 3}).nodes.size());
      sgd.step();
    }
    CHECK(sizes.size() == (traced ? 1u : 0u));
    std::vector<std::vector<Real>> state;
    for (const auto& [name, value] : net->state_dict()) state.push_back(values(value));
    return state;
  };
  CHECK(trained(false) == trained(true));
}

TEST_CASE("graph: a network is called with as many inputs as it has, and refuses images of another rank") {
  Pair pair;
  nn::Linear one(4, 2, Rng(1));
  const Var x(Tensor({1, 4}, Real(1)));
  CHECK(values(one(std::vector<Var>{x}).value()) == values(one(x).value()));
  CHECK(pair({x, x}).shape() == Shape{1, 12});
  CHECK_SAYS(complaint_of([&] { pair(x); }), "Pair: given one input, expected several");
  CHECK_SAYS(complaint_of([&] { one({x, x}); }), "Linear: given 2 inputs, expected one");
  CHECK_SAYS(complaint_of([&] { nn::trace(one, {{1, 4}, {1, 4}}); }), "Linear: given 2 inputs, expected one");
  CHECK_SAYS(complaint_of([&] { nn::trace_image(one, {4, 4}); }), "trace: given an image of shape (4,4)");
}

TEST_CASE("modules say what they offer: weights, gradient maps, statistics, activations") {
  const auto net = small_net();
  Names weights, maps, statistics, activations;
  for (const auto& [name, module] : net->named_modules()) {
    if (module->weight_parameter()) weights.push_back(name);
    if (module->output_gradient_map()) maps.push_back(name);
    if (!module->running_statistics().empty()) statistics.push_back(name);
    if (module->activation()) activations.push_back(name);
  }
  CHECK(weights == Names{"conv", "fc"});
  CHECK(maps == weights);
  CHECK(statistics == Names{"norm"});
  CHECK(activations == Names{"act"});
  CHECK(net->kind() == "Sequential");
}
