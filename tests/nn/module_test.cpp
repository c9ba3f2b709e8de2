// The module tree: names, order, state dict, hooks, modes.
#include "nn/module.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/ops.h"
#include "nn/layers.h"
#include "nn/networks.h"
#include "tests/support/errors.h"

using namespace coarsegrad;

namespace {

class Scale : public nn::Module {
 public:
  explicit Scale(Real start = 2)
      : factor(register_parameter("factor", Tensor({2}, start))), calls(register_buffer("calls", Tensor({1}))) {}
  Var forward(const Var& x) override {
    calls.mutable_data()[0] += 1;
    return x * factor.var();
  }
  Parameter& factor;
  Tensor& calls;
};

// Parameters and children registered in turns: the order of names is each module's own, then its children.
class Tree : public nn::Module {
 public:
  explicit Tree(Real start = 2)
      : left(register_module<Scale>("left", start)),
        offset(register_parameter("offset", Tensor({3}, start))),
        pair(register_module<nn::Sequential>("pair")),
        seen(register_buffer("seen", Tensor({2, 2}, start))) {
    pair.add<Scale>("a", start);
    pair.add<Scale>("b", start + 1);
  }
  Var forward(const Var& x) override { return pair(left(x)); }
  using Module::register_buffer, Module::register_parameter, Module::adopt;

  Scale& left;
  Parameter& offset;
  nn::Sequential& pair;
  Tensor& seen;
};

template <class T>
std::vector<std::string> names(const std::vector<std::pair<std::string, T>>& list) {
  std::vector<std::string> all;
  for (const auto& [name, what] : list) all.push_back(name);
  return all;
}

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

std::vector<std::vector<Real>> values(const nn::StateDict& state) {
  std::vector<std::vector<Real>> all;
  for (const auto& [name, value] : state) all.push_back(values(value));
  return all;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("names are dotted paths: a module's own entries in order, then those of its children in order") {
  Tree tree;
  CHECK(names(tree.named_parameters()) == Names{"offset", "left.factor", "pair.a.factor", "pair.b.factor"});
  CHECK(names(tree.named_buffers()) == Names{"seen", "left.calls", "pair.a.calls", "pair.b.calls"});
  CHECK(names(tree.named_modules()) == Names{"", "left", "pair", "pair.a", "pair.b"});
  CHECK(names(tree.state_dict()) == Names{"offset", "left.factor", "pair.a.factor", "pair.b.factor", "seen",
                                          "left.calls", "pair.a.calls", "pair.b.calls"});
  CHECK(tree.named_modules()[0].second == &tree);
  CHECK(tree.named_modules()[1].second == &tree.left);
  CHECK(tree.named_parameters()[1].second == &tree.left.factor);
  CHECK(tree.named_buffers()[0].second == &tree.seen);
}

TEST_CASE("pointers to parameters stay valid while more is registered") {
  Tree tree;
  const std::vector<Parameter*> before = tree.parameters();
  for (int i = 0; i < 100; ++i) tree.register_parameter(cat("p", i), Tensor({1}));
  CHECK(tree.parameters().front() == before.front());
  CHECK(tree.parameters().back() == before.back());
}

TEST_CASE("a name that is empty, dotted or taken is refused, and so is a module that is not there") {
  Tree tree;
  for (const char* name : {"", "a.b", "offset", "seen", "left"}) {
    INFO(name);
    CHECK_THROWS_AS(tree.register_parameter(name, Tensor({1})), Error);
    CHECK_THROWS_AS(tree.register_buffer(name, Tensor({1})), Error);
    CHECK_THROWS_AS(tree.adopt(name, std::make_unique<Scale>()), Error);
  }
  CHECK_THROWS_AS(tree.adopt("nothing", nullptr), Error);
  CHECK(tree.named_parameters().size() == 4);
}

TEST_CASE("state dict: loading it into another module makes the two compute the same") {
  Tree source(3), target(5);
  const Var x(Tensor({2}, {1, -2}));
  source(x);
  const nn::StateDict state = source.state_dict();
  REQUIRE(values(state) != values(target.state_dict()));
  target.load_state_dict(state);
  CHECK(values(state) == values(target.state_dict()));
  CHECK(values(source(x).value()) == values(target(x).value()));
  source.offset.value.mutable_data()[0] = 99;
  CHECK(target.offset.value[0] == 3);  // values, not references
}

TEST_CASE("state dict: the order of the entries does not matter") {
  Tree source(3), target(5);
  nn::StateDict state = source.state_dict();
  std::swap(state.front(), state.back());
  target.load_state_dict(state);
  CHECK(values(source.state_dict()) == values(target.state_dict()));
}

TEST_CASE("state: values and random streams go on together, and another module's streams change nothing") {
  const auto make = [](std::uint64_t seed) {
    auto net = std::make_unique<nn::Sequential>();
    net->add<Scale>("scale");
    net->add<nn::Dropout>("drop", Real(0.5), Rng(seed));
    return net;
  };
  const Var x(Tensor({64, 2}, Real(1)));
  const auto whole = make(1), resumed = make(1), forgetful = make(1), other = make(2);
  (*whole)(x);
  const State state = whole->state();
  CHECK(state.counts_of("drop.rng").size() == 2);
  resumed->load_state(state);
  forgetful->load_state_dict(state.tensors);
  const auto next = values((*whole)(x).value());
  CHECK(values((*resumed)(x).value()) == next);
  CHECK(values((*forgetful)(x).value()) != next);
  const auto before = values(other->state_dict());
  CHECK_SAYS(complaint_of([&] { other->load_state(state); }), "another random stream for 'drop.rng'");
  State damaged = state;
  damaged.counts.clear();
  CHECK_SAYS(complaint_of([&] { other->load_state(damaged); }), "given 0 random streams, expected 1");
  damaged = state;
  damaged.tensors.pop_back();
  const auto position = whole->named_generators().front().second->position();
  CHECK_SAYS(complaint_of([&] { whole->load_state(damaged); }), "is missing");
  CHECK(whole->named_generators().front().second->position() == position);
  CHECK(values(other->state_dict()) == before);
}

TEST_CASE("state dict: an entry that is missing, unknown, misshapen, undefined or there twice changes nothing") {
  Tree source(3), target(5);
  const auto before = values(target.state_dict());
  const nn::StateDict good = source.state_dict();
  const auto refuse = [&](const nn::StateDict& state, const char* message) {
    CHECK_THROWS_WITH_AS(target.load_state_dict(state), message, Error);
    CHECK(values(target.state_dict()) == before);
  };
  nn::StateDict state = good;
  state.erase(state.begin() + 1);
  refuse(state, "load_state_dict: 'left.factor' is missing");
  state = good;
  state.emplace_back("left.other", Tensor({2}));
  refuse(state, "load_state_dict: 'left.other' is unknown to this module");
  state = good;
  state.back().second = Tensor({1, 1});
  refuse(state, "load_state_dict: given 'pair.b.calls' of shape (1,1), expected (1)");
  state.back().second = Tensor();
  CHECK_THROWS_AS(target.load_state_dict(state), Error);
  CHECK(values(target.state_dict()) == before);
  state = good;
  state.push_back(state[2]);
  refuse(state, "load_state_dict: given an entry twice");
}

TEST_CASE("hooks see each module with its input and output, in the order of the calls, until removed") {
  Tree tree;
  struct Call {
    nn::Module* module;
    Real in, out;
  };
  std::vector<Call> calls;
  const auto hook = [&calls](nn::Module& m, const Var& x, const Var& y) {
    calls.push_back({&m, x.value()[0], y.value()[0]});
  };
  std::vector<int> numbers;
  for (const auto& [name, module] : tree.named_modules()) numbers.push_back(module->register_forward_hook(hook));
  const Var x(Tensor({2}, Real(1)));
  tree(x);
  REQUIRE(calls.size() == 5);
  const nn::Module* order[] = {&tree.left, tree.named_modules()[3].second, tree.named_modules()[4].second, &tree.pair,
                               &tree};
  const Real in[] = {1, 2, 4, 2, 1}, out[] = {2, 4, 12, 12, 12};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(calls[i].module == order[i]);
    CHECK(calls[i].in == in[i]);
    CHECK(calls[i].out == out[i]);
  }
  tree.pair.remove_hook(numbers[2]);
  tree.pair.remove_hook(12345);  // one that is not there
  calls.clear();
  tree(x);
  CHECK(calls.size() == 4);
}

TEST_CASE("hooks: two on one module run in order of registration, and one may remove itself") {
  Scale scale;
  std::string log;
  int first = 0;
  first = scale.register_forward_hook([&](nn::Module& m, const Var&, const Var&) {
    log += "1";
    m.remove_hook(first);
  });
  const int second = scale.register_forward_hook([&](nn::Module&, const Var&, const Var&) { log += "2"; });
  CHECK(first != second);
  scale(Tensor({2}));
  scale(Tensor({2}));
  CHECK(log == "122");
}

TEST_CASE("train and eval reach every module below, and only those") {
  Tree tree;
  const auto training = [&] {
    std::string modes;
    for (const auto& [name, module] : tree.named_modules()) modes += module->training() ? "t" : "e";
    return modes;
  };
  CHECK(training() == "ttttt");
  tree.pair.eval();
  CHECK(training() == "tteee");
  tree.eval();
  CHECK(training() == "eeeee");
  tree.train();
  CHECK(training() == "ttttt");
}

TEST_CASE("LeNet-5 has the parameters of the paper's network, no affine batch norm, and ten outputs") {
  const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
  const std::vector<std::pair<std::string, std::int64_t>> expected{
      {"conv1.weight", 800},  {"conv1.bias", 32}, {"conv2.weight", 51200}, {"conv2.bias", 64},
      {"fc1.weight", 524288}, {"fc1.bias", 512},  {"fc2.weight", 5120},    {"fc2.bias", 10}};
  const auto parameters = net->named_parameters();
  REQUIRE(parameters.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(parameters[i].first == expected[i].first);
    CHECK(parameters[i].second->value.numel() == expected[i].second);
  }
  CHECK((*net)(Tensor({3, 28, 28, 1}, Real(0.5))).shape() == Shape{3, 10});
  CHECK(net->named_buffers().size() == 6);
  net->eval();
  CHECK((*net)(Tensor({0, 28, 28, 1})).shape() == Shape{0, 10});
  CHECK((*net)(Tensor({1, 28, 28, 1})).shape() == Shape{1, 10});
  CHECK_THROWS_AS((*net)(Tensor({1, 27, 27, 1})), Error);
  CHECK_THROWS_AS((*net)(Tensor({1, 28, 28, 3})), Error);
  net->train();
  CHECK_THROWS_AS((*net)(Tensor({0, 28, 28, 1})), Error);
}

TEST_CASE("a layer's start depends on its own name alone, and lies in the range of its fan-in") {
  const Rng rng(7);
  nn::Linear one(25, 3, rng.split("fc")), same(25, 3, rng.split("fc")), other(25, 3, rng.split("fc2"));
  CHECK(values(one.weight.value) == values(same.weight.value));
  CHECK(values(one.weight.value) != values(other.weight.value));
  Real largest = 0;
  for (Real w : one.weight.value.view()) largest = std::max(largest, std::abs(w));
  CHECK(largest <= Real(0.2));
  CHECK(largest > Real(0.15));
  CHECK(nn::Linear(4, 2, rng, false).bias == nullptr);
  CHECK_THROWS_AS(nn::Conv2d({.in = 3, .out = 4, .groups = 2}, rng), Error);
  CHECK_THROWS_WITH_AS(nn::Linear(0, 4, rng), "linear: given 0 in, 4 out features, expected positive ones", Error);
  CHECK_THROWS_AS(nn::Linear(4, -1, rng), Error);
}

TEST_CASE("images with channels first are refused with the name of the layer and the layout that it wants") {
  const auto net = nn::vgg11(nn::relu_activation(), Rng(1));
  CHECK_SAYS(complaint_of([&] {
               (*net)(Tensor({1, 3, 32, 32}));
             }),
             "conv2d conv1: given x (1,3,32,32), expected channels last, (N, H, W, 3)");
  nn::Sequential outer;
  auto& inner = outer.add<nn::Sequential>("head");
  inner.add<nn::Linear>("fc", 4, 2, Rng(1));
  CHECK_SAYS(complaint_of([&] { outer(Tensor({5, 3})); }), "linear head.fc: given x (5,3), expected (N, 4)");
  nn::BatchNorm alone(3);
  CHECK_SAYS(complaint_of([&] {
               alone(Tensor({1, 3, 8, 8}));
             }),
             "batch_norm: given x (1,3,8,8), expected channels last, (N, ..., 3)");
}
