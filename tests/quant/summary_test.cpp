#include "quant/summary.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "nn/networks.h"
#include "quant/activations/uniform.h"
#include "quant/weights/projection.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::quant;

namespace {

nn::MakeActivation four_bits() { return uniform_activation(4, surrogate("clipped_relu")); }

const LayerSummary& layer(const Summary& summary, const std::string& name) {
  const auto found = std::find_if(summary.layers.begin(), summary.layers.end(),
                                  [&](const LayerSummary& l) { return l.name == name; });
  REQUIRE_MESSAGE(found != summary.layers.end(), name);
  return *found;
}

/// Leaves the projections of all weights of convolutions where a training rule leaves them.
void quantize_convolutions(nn::Module& net, const ProjectionOptions& options) {
  const auto projection = weight_projection("exact", options);
  for (const auto& [name, p] : net.named_parameters())
    if (p->value.shape().rank() == 4) p->used = projection->project(p->value);
}

/// One dense layer, used twice, behind an activation of its own.
class Twice : public nn::Module {
 public:
  Twice() : dense_(register_module<nn::Linear>("dense", 4, 4, Rng(1))) {}
  Var forward(const Var& x) override { return dense_(relu(dense_(reshape(x, {x.shape()[0], 4})))); }

 private:
  nn::Module& dense_;
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
  CHECK(s.bops ==
        first * 1 * 32 + (s.macs - first - last) * 1 * 4 + last * 32 * 32);  // pooled values are no levels
  const LayerSummary &conv = layer(s, "conv"), &inner = layer(s, "stages.stage2_block1.conv2");
  CHECK(std::tuple(conv.input_bits, conv.weight_bits, conv.output_bits) == std::tuple(32, 1, 32));
  CHECK(std::tuple(inner.input_bits, inner.weight_bits, inner.output_bits) == std::tuple(4, 1, 32));
  CHECK(conv.bytes == 432 / 8 + 4);
  CHECK(layer(s, "act").kind == "UniformActivation");
  CHECK(layer(s, "act").output_bits == 4);
  CHECK(std::count_if(s.layers.begin(), s.layers.end(),
                      [](const LayerSummary& l) { return l.name == "stages.stage1_block1.act"; }) == 2);
  // Packed convolutions with a scale each, two numbers for each of the 688 normalised channels, the dense
  // layer.
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
    CHECK(std::equal(before[i].second.view().begin(), before[i].second.view().end(),
                     after[i].second.view().begin()));
}
