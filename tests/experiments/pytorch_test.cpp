#include "experiments/training/pytorch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "nn/networks.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

std::unique_ptr<nn::Module> make(const std::string& name, std::uint64_t seed) {
  return nn::make_network(name, nn::relu_activation(), Rng(seed), {.width = name == "vgg11" ? 4 : 0});
}

const StoredTensor& at(const TensorFile& file, const std::string& name) {
  const auto found =
      std::find_if(file.tensors.begin(), file.tensors.end(), [&](const StoredTensor& t) { return t.name == name; });
  REQUIRE(found != file.tensors.end());
  return *found;
}

bool same_state(nn::Module& a, nn::Module& b) {
  const auto x = a.state_dict(), y = b.state_dict();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& p, const auto& q) {
    const auto v = p.second.view(), w = q.second.view();
    return p.first == q.first && std::equal(v.begin(), v.end(), w.begin(), w.end());
  });
}

std::string complaint(const std::function<void(TensorFile&)>& spoil,
                      PyTorchMatching matching = PyTorchMatching::names) {
  const auto net = make("lenet5", 1), before = make("lenet5", 1);
  TensorFile file = to_pytorch(*make("lenet5", 2), {28, 28, 1});
  spoil(file);
  std::string text = complaint_of([&] { from_pytorch(file, *net, {28, 28, 1}, matching); });
  CHECK((text.empty() || same_state(*net, *before)));  // nothing is changed by what is refused
  return text;
}

}  // namespace

TEST_CASE("pytorch: out and in again gives the same bits, by name and by order, whatever the layers are called") {
  for (const std::string name : {"lenet5", "vgg11", "resnet20", "preresnet20"}) {
    const Shape image = nn::network_input(name);
    const auto net = make(name, 1), by_name = make(name, 2), by_order = make(name, 3);
    TensorFile file = to_pytorch(*net, image);
    CHECK(!same_state(*net, *by_name));
    from_pytorch(file, *by_name, image);
    CHECK(same_state(*net, *by_name));
    for (StoredTensor& t : file.tensors) t.name = "their." + t.name;
    from_pytorch(file, *by_order, image, PyTorchMatching::order);
    CHECK(same_state(*net, *by_order));
    CHECK(net->training());
  }
}

TEST_CASE("pytorch: each element is where PyTorch looks for it") {
  const auto net = make("lenet5", 1);
  const TensorFile file = to_pytorch(*net, {28, 28, 1});
  const auto state = net->state_dict();
  const auto ours = [&](const std::string& name) {
    return std::find_if(state.begin(), state.end(), [&](const auto& e) { return e.first == name; })->second;
  };
  const StoredTensor &conv = at(file, "conv2.weight"), &dense = at(file, "fc1.weight");
  CHECK(conv.shape == Shape{64, 32, 5, 5});
  CHECK(dense.shape == Shape{512, 1024});
  const Tensor conv_ours = ours("conv2.weight"), dense_ours = ours("fc1.weight");
  for (std::int64_t o : {0, 5, 63})
    for (std::int64_t i : {0, 3, 31})
      for (std::int64_t y : {0, 4})
        for (std::int64_t x : {0, 1})
          CHECK(conv.values[static_cast<std::size_t>(((o * 32 + i) * 5 + y) * 5 + x)] ==
                conv_ours[((o * 5 + y) * 5 + x) * 32 + i]);
  for (std::int64_t o : {0, 511})  // behind a flattened (4, 4, 64)
    for (std::int64_t c : {0, 7, 63})
      for (std::int64_t y : {0, 3})
        for (std::int64_t x : {0, 2})
          CHECK(dense.values[static_cast<std::size_t>(o * 1024 + (c * 4 + y) * 4 + x)] ==
                dense_ours[o * 1024 + (y * 4 + x) * 64 + c]);
  const auto second = ours("fc2.weight").view();  // behind no Flatten: as it lies
  CHECK(std::equal(second.begin(), second.end(), at(file, "fc2.weight").values.begin()));
}

TEST_CASE("pytorch: batch normalisation has PyTorch's names, and its counters are passed over") {
  const auto net = make("resnet20", 1), other = make("resnet20", 2);
  TensorFile file = to_pytorch(*net, {32, 32, 3});
  for (const char* leaf : {"weight", "bias", "running_mean", "running_var"})
    CHECK(at(file, cat("stages.stage1_block1.norm2.", leaf)).shape == Shape{16});
  file.tensors.push_back({"norm.num_batches_tracked", Shape{}, {5}});
  from_pytorch(file, *other, {32, 32, 3});
  CHECK(same_state(*net, *other));
}

namespace {

/// A convolution and a dense layer behind it as ops, without a layer.
class Functional : public nn::Module {
 public:
  Functional()
      : kernel(register_parameter("kernel", Tensor({2, 3, 3, 1}))),
        dense(register_parameter("dense", Tensor({5, 2 * 2 * 2}))) {
    for (Parameter* p : parameters())
      for (std::int64_t i = 0; i < p->value.numel(); ++i) p->value.mutable_data()[i] = static_cast<Real>(i);
  }
  Var forward(const Var& x) override {
    const Var y = relu(conv2d(x, kernel.var()));
    return linear(tanh(reshape(y, {y.shape()[0], -1})), dense.var());
  }
  Parameter &kernel, &dense;
};

}  // namespace

TEST_CASE("pytorch: a parameter is what the op that reads it makes of it, whatever it is called") {
  Functional net;
  const TensorFile file = to_pytorch(net, {4, 4, 1});
  CHECK(at(file, "kernel").shape == Shape{2, 1, 3, 3});
  const StoredTensor& dense = at(file, "dense");
  CHECK(dense.shape == Shape{5, 8});
  for (int c : {0, 1})  // behind a flattened (2, 2, 2)
    for (int p : {0, 1, 2, 3}) CHECK(dense.values[static_cast<std::size_t>(8 + c * 4 + p)] == 8 + p * 2 + c);
  Functional other;
  for (Parameter* p : other.parameters()) p->value = Tensor(p->value.shape());
  from_pytorch(file, other, {4, 4, 1});
  CHECK(same_state(net, other));
}

TEST_CASE("pytorch: a matrix that no op reads is refused, since nobody says how its elements are ordered") {
  nn::Sequential net;
  net.add<nn::Linear>("fc", 4, 2, Rng(1));
  class Aside : public nn::Module {
   public:
    Aside() { register_parameter("unused", Tensor({2, 2})); }
    Var forward(const Var& x) override { return reshape(x, {x.shape()[0], -1}); }
  };
  net.add<Aside>("aside");
  CHECK_SAYS(complaint_of([&] {
               pytorch_entries(net, nn::trace(net, {{1, 4}}));
             }),
             "'aside.unused' takes no part in the forward pass");
}

TEST_CASE("pytorch: what does not fit the network is named, and changes nothing") {
  CHECK(complaint([](TensorFile&) {}).empty());
  CHECK_SAYS(complaint([](TensorFile& f) { f.tensors.erase(f.tensors.begin()); }), "'conv1.weight' is missing");
  CHECK_SAYS(complaint([](TensorFile& f) {
               f.tensors.push_back({"extra.weight", {1}, {0}});
             }),
             "'extra.weight' is unknown");
  CHECK_SAYS(complaint([](TensorFile& f) {
               f.tensors[0].shape = {32, 5, 5, 1};
             }),
             "given 'conv1.weight' of shape (32,5,5,1) for 'conv1.weight', expected (32,1,5,5)");
  const auto order = PyTorchMatching::order;
  CHECK_SAYS(complaint([](TensorFile& f) { f.tensors.pop_back(); }, order), "without 'bias' for 'fc2.bias'");
  CHECK_SAYS(complaint([](TensorFile& f) { f.tensors.resize(4); }, order), "the file ends before 'conv2.weight'");
  CHECK_SAYS(complaint(
                 [](TensorFile& f) {
                   f.tensors.push_back({"extra.weight", {1}, {0}});
                 },
                 order),
             "'extra.weight' comes after the last layer");
  CHECK_SAYS(complaint(
                 [](TensorFile& f) {
                   f.tensors.insert(f.tensors.begin() + 2, {"conv1.more", {1}, {0}});
                 },
                 order),
             "'conv1.more' has no counterpart");
}
