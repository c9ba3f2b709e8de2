#include "quant/summary.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/map.h"
#include "nn/networks.h"
#include "quant/activations/minmax.h"
#include "quant/activations/uniform.h"
#include "quant/weights/projection.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::quant;

namespace {

nn::MakeActivation four_bits() { return uniform_activation(4, surrogate("clipped_relu")); }

const LayerSummary& layer(const Summary& summary, const std::string& name) {
  const auto found =
      std::find_if(summary.layers.begin(), summary.layers.end(), [&](const LayerSummary& l) { return l.name == name; });
  REQUIRE_MESSAGE(found != summary.layers.end(), name);
  return *found;
}

/// Leaves the projections of all weights of convolutions where a training rule leaves them.
void quantize_convolutions(nn::Module& net, const ExactOptions& options) {
  const auto projection = weight_projection({"exact", options});
  for (const auto& [name, p] : net.named_parameters())
    if (p->value.shape().rank() == 4) p->effective = projection->project(p->value);
}

/// One dense layer, used twice, behind an activation of its own.
class Twice : public nn::Module {
 public:
  Twice() : dense_(register_module<nn::Linear>("dense", 4, 4, Rng(1))) {}
  Var forward(const Var& x) override { return dense_(relu(dense_(reshape(x, {x.shape()[0], 4})))); }

 private:
  nn::Module& dense_;
};

/// Two inputs: one is embedded by a matrix of its own, both go through one dense layer, whose weight is read once
/// more by an op; then come an op that quantizes, a dense layer, and a normalisation without a module.
class Own : public nn::Module {
 public:
  Own()
      : embedding(register_parameter("embedding", Tensor({6, 4}))),
        shift(register_parameter("shift", Tensor({3}))),
        shared(register_module<nn::Linear>("shared", 4, 4, Rng(1))),
        head(register_module<nn::Sequential>("head")) {
    head.add<nn::Linear>("fc", 8, 3, Rng(2), false);
  }
  Var forward_inputs(const std::vector<Var>& in) override {
    const Var left = shared(matmul(in[0], embedding.var())), right = linear(shared(in[1]), shared.weight.var());
    const Var coarse = quantize_activation(concatenate({left, right}, 1), Real(0.5), 3, surrogate("relu"));
    return batch_norm_eval(head(coarse), {}, shift.var(), Tensor({3}), Tensor({3}, Real(1)), Real(1e-5));
  }
  Parameter &embedding, &shift;
  nn::Linear& shared;
  nn::Sequential& head;
};

/// The same ops in a module that has no parameters of its own.
class Around : public nn::Module {
 public:
  Around() : fc(register_module<nn::Linear>("fc", 4, 4, Rng(1), false)) {}
  Var forward(const Var& x) override { return fc(relu(linear(x, fc.weight.var()))); }
  nn::Linear& fc;
};

}  // namespace

TEST_CASE("summary: LeNet-5's layers, shapes, parameters, multiplications and bytes") {
  const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
  const Summary s = summarize(*net, {28, 28, 1});
  CHECK(s.layers.size() == 13);
  const LayerSummary &conv = layer(s, "conv2"), &pool = layer(s, "pool1"), &norm = layer(s, "norm1");
  CHECK(conv.kind == "Conv2d");
  CHECK(conv.output == Shape{8, 8, 64});
  CHECK(conv.parameters == 25 * 32 * 64 + 64);
  CHECK(conv.macs == 8 * 8 * 64 * 25 * 32);
  CHECK(conv.bytes == 4 * conv.parameters);
  CHECK(conv.bops == conv.macs * 32 * 32);
  CHECK(pool.kind == "MaxPool2d");
  CHECK(std::pair(pool.bytes, pool.macs) == std::pair<std::int64_t, std::int64_t>(0, 0));
  CHECK(norm.parameters == 0);  // without scale and shift, but
  CHECK(norm.bytes == 32 * 8);  // its statistics are needed
  CHECK(layer(s, "fc1").macs == 1024 * 512);
  CHECK(layer(s, "fc1").output == Shape{512});
  CHECK(s.parameters == 832 + 51264 + 524800 + 5130);
  CHECK(s.macs == 460800 + 3276800 + 524288 + 5120);
  CHECK(s.bytes == 4 * s.parameters + 8 * (32 + 64 + 512));
}

TEST_CASE("summary: ResNet-20 with 1-bit weights and 4-bit activations") {
  const auto net = nn::resnet(20, four_bits(), Rng(1));
  quantize_convolutions(*net, {.bits = 1});
  const Summary s = summarize(*net, {32, 32, 3});
  CHECK(s.parameters == 269722);  // 0.27 million, as He et al. count
  CHECK(s.macs == 40551040);      // 41 million
  const std::int64_t first = 32 * 32 * 16 * 27, last = 640;
  CHECK(s.bops == first * 1 * 32 + (s.macs - first - last) * 1 * 4 + last * 32 * 32);  // pooled values are no levels
  const LayerSummary &conv = layer(s, "conv"), &inner = layer(s, "stages.stage2_block1.conv2");
  CHECK(std::tuple(conv.input_bits, conv.weight_bits, conv.output_bits) == std::tuple(32, 1, 32));
  CHECK(std::tuple(inner.input_bits, inner.weight_bits, inner.output_bits) == std::tuple(4, 1, 32));
  CHECK(conv.bytes == 432 / 8 + 4);
  CHECK(layer(s, "act").kind == "UniformActivation");
  CHECK(layer(s, "act").output_bits == 4);
  CHECK(std::count_if(s.layers.begin(), s.layers.end(),
                      [](const LayerSummary& l) { return l.name == "stages.stage1_block1.act"; }) == 2);
  // Packed convolutions with a scale each, two numbers for each of the 688 normalised channels, the dense layer.
  CHECK(s.bytes == 267696 / 8 + 19 * 4 + 688 * 8 + 650 * 4);
}

TEST_CASE("summary: levels stay levels through max pooling and Flatten, scales per channel take room") {
  const auto net = nn::vgg11(four_bits(), Rng(1), {.width = 4});
  quantize_convolutions(*net, {.bits = 2, .per_channel = true});
  const Summary s = summarize(*net, {32, 32, 3});
  CHECK(layer(s, "pool1").output_bits == 4);
  CHECK(layer(s, "conv2").input_bits == 4);
  CHECK(layer(s, "fc").input_bits == 4);
  CHECK(layer(s, "fc").weight_bits == 32);
  CHECK(layer(s, "conv1").bytes == 4 * 27 * 2 / 8 + 4 * 4);
  CHECK(layer(s, "conv1").weight_bits == 2);
}

TEST_CASE("summary: a layer that is used twice is listed twice, its parameters count once, its work twice") {
  Twice net;
  const Summary s = summarize(net, {2, 2, 1});
  CHECK(s.layers.size() == 2);
  CHECK(s.parameters == 20);
  CHECK(s.bytes == 80);
  CHECK(s.macs == 32);
}

TEST_CASE("summary: the network is left as it was, also when it refuses the image") {
  const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
  const auto before = net->state_dict();
  summarize(*net, {28, 28, 1});
  CHECK_THROWS_AS(summarize(*net, {28, 28, 3}), Error);
  CHECK_SAYS(complaint_of([&] { summarize(*net, {28, 28}); }), "expected (H,W,C)");
  CHECK(net->training());
  for (const auto& [name, module] : net->named_modules()) CHECK(!module->has_hooks());
  const auto after = net->state_dict();
  for (std::size_t i = 0; i < before.size(); ++i)
    CHECK(std::equal(before[i].second.view().begin(), before[i].second.view().end(), after[i].second.view().begin()));
}

TEST_CASE("summary: functional ops, two inputs and a shared module have their shapes, parameters, MACs and uses") {
  Own net;
  const Summary s = summarize(net, nn::trace(net, {{1, 6}, {1, 4}}));
  REQUIRE(s.layers.size() == 4);
  const LayerSummary &whole = s.layers[0], &first = s.layers[1], &second = s.layers[2], &fc = s.layers[3];
  CHECK(whole.kind == "Own");
  CHECK(whole.name.empty());
  CHECK(whole.output == Shape{3});
  CHECK(whole.parameters == 24 + 3 + 16);  // the shared weight, which an op of this row reads
  CHECK(whole.macs == 6 * 4 + 4 * 4);
  CHECK(whole.bops == whole.macs * 32 * 32);
  CHECK(whole.bytes == 4 * (24 + 16) + 8 * 3);  // the normalisation: a factor and an offset
  CHECK(whole.uses == 1);
  CHECK(std::tuple(first.name, first.kind, first.uses) == std::tuple("shared", "Linear", 2));
  CHECK(first.parameters == 4);  // the bias
  CHECK(first.macs == 16);
  CHECK(std::tuple(second.name, second.parameters, second.bytes) == std::tuple("shared", 0, 0));
  CHECK(second.macs == 16);
  CHECK(std::tuple(fc.name, fc.input_bits, fc.output_bits) == std::tuple("head.fc", 3, 32));
  CHECK(fc.bops == fc.macs * 32 * 3);
  CHECK(s.parameters == 24 + 3 + 20 + 24);
  CHECK(s.macs == 24 + 3 * 16 + 24);
}

TEST_CASE("summary: an op with a weight between the layers of a module is a row by its own name") {
  Around net;
  const Summary s = summarize(net, nn::trace(net, {{1, 4}}));
  REQUIRE(s.layers.size() == 2);
  CHECK(std::tuple(s.layers[0].name, s.layers[0].kind) == std::tuple("", "linear"));
  CHECK(std::tuple(s.layers[1].name, s.layers[1].kind) == std::tuple("fc", "Linear"));
  CHECK(s.parameters == 16);
  CHECK(s.macs == 32);
  CHECK(s.bytes == 64);
  CHECK_SAYS(complaint_of([&] {
               summarize(*nn::lenet5(four_bits(), Rng(1)), nn::trace(net, {{1, 4}}));
             }),
             "given a graph with the parameter 'fc.weight', expected one of this network");
}

TEST_CASE("summary: a quantizer says its bits, whatever ops it is made of and whatever it sees") {
  class Halves : public ActivationQuantizer {
    Var forward(const Var& x) override {
      return record("halves", map(x.value(), [](Real v) { return v > 0 ? Real(0.5) : Real(0); }), {x},
                    [](const Tensor& g) -> Gradients { return {g}; });
    }
    int bits() const override { return 1; }
  };
  nn::Sequential net;
  net.add<Halves>("own");
  net.add<nn::Linear>("fc1", 4, 4, Rng(1), false);  // zeros come out
  net.add<MinMaxActivation>("minmax", 6);
  net.add<nn::Linear>("fc2", 4, 4, Rng(2));
  const Summary s = summarize(net, nn::trace(net, {{1, 4}}));
  CHECK(layer(s, "fc1").input_bits == 1);
  CHECK(layer(s, "fc2").input_bits == 6);
}
