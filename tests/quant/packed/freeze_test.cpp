// A frozen network computes what its training evaluates, bit for bit: every method with codes, after a few steps.
#include "quant/export/freeze.h"

#include <doctest/doctest.h>

#include "core/base/check.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/dorefa.h"
#include "quant/assembly.h"
#include "tests/quant/packed/equality.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

constexpr std::int64_t kClasses = 5;
const Shape kImage{10, 10, 3};

// Convolutions with a stride, a pooling between product and normalisation, odd channels, dense layers with and without
// a normalisation.
std::unique_ptr<nn::Module> small_network(const nn::MakeActivation& activation) {
  const Rng rng(7);
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 3, .out = 8, .padding = 1}, rng.split("conv1"));
  net->add<nn::BatchNorm>("norm1", 8);
  net->append("act1", activation("act1"));
  net->add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 8, .out = 11, .padding = 1, .bias = false}, rng.split("conv2"));
  net->add<nn::MaxPool2d>("pool2");
  net->add<nn::BatchNorm>("norm2", 11);
  net->append("act2", activation("act2"));
  net->add<nn::Conv2d>("conv3", nn::ConvOptions{.in = 11, .out = 8, .stride = 2, .padding = 1}, rng.split("conv3"));
  net->add<nn::BatchNorm>("norm3", 8, nn::BatchNormOptions{.affine = false});
  net->append("act3", activation("act3"));
  net->add<nn::Flatten>("flatten");
  net->add<nn::Linear>("fc1", 3 * 3 * 8, 16, rng.split("fc1"));
  net->add<nn::BatchNorm>("norm4", 16);
  net->append("act4", activation("act4"));
  net->add<nn::Linear>("fc2", 16, kClasses, rng.split("fc2"));
  return net;
}

std::unique_ptr<nn::Module> small_resnet(const nn::MakeActivation& activation, bool before, nn::Shortcut shortcut) {
  return nn::resnet(8, activation, Rng(3),
                    {.classes = kClasses, .width = 4, .shortcut = shortcut, .preactivation = before});
}

quant::Assembly trained(const quant::Method& method, const quant::MakeNetwork& network, int steps = 3) {
  const auto optimizer = [&](std::vector<Parameter*> all) -> std::unique_ptr<optim::Optimizer> {
    if (method.optimizer == "adam") return std::make_unique<optim::Adam>(all, optim::AdamOptions{.lr = 0.01});
    return std::make_unique<optim::Sgd>(all, optim::SgdOptions{.lr = 0.05, .momentum = 0.9});
  };
  quant::Assembly a = quant::assemble({.method = method, .network = network, .input = kImage, .optimizer = optimizer});
  quant::QuantizedOptimizer step(*a.optimizer, *a.net, a.quantized(), {steps, 1});
  const Tensor labels = Tensor::of<std::int32_t>({6}, {0, 1, 2, 3, 4, 0});
  for (int i = 0; i < steps; ++i) {
    step.zero_grad();
    const Tensor x(batch_shape(6, kImage), gaussian(6 * kImage.numel(), static_cast<unsigned>(i)));
    cross_entropy((*a.net)(x), labels).backward();
    step.step();
  }
  return a;
}

std::string plan_of(const packed::Runtime& net) {
  std::string text;
  for (const packed::LayerPlan& l : net.plan())
    text += l.name + ":" + packed::name_of(l.kernel) + (l.thresholds.empty() ? " " : ">" + l.thresholds + " ");
  return text;
}

}  // namespace

TEST_CASE(
    "freeze: every method and every activation but minmax, whose levels follow the batch, is deployed as evaluated") {
  std::vector<quant::Method> methods;
  for (const std::string& name : quant::method_names()) methods.push_back(quant::method(name));
  for (const std::string& name : quant::activations().names())
    methods.push_back({.weights = {"exact"}, .activations = {name}, .layers = {}});
  int refused = 0;
  for (const quant::Method& method : methods) {
    INFO("method ", method.name, ", activations ", method.activations.name);
    const quant::Assembly a = trained(method, small_network);
    if (method.activations.name != "minmax") {
      expect_equal(*a.net, a.weights.get(), kImage, 5, 11);
      continue;
    }
    ++refused;
    CHECK_SAYS(
        complaint_of([&] { quant::freeze(*a.net, kImage, a.weights.get()); }),
        "freeze: the op quantize_activation of 'act1': given levels that follow the largest element of the batch");
  }
  CHECK(refused == 2);  // statquant, and the activation by itself
}

TEST_CASE("freeze: with other bits the methods are deployed as they were evaluated, too") {
  for (const auto& [name, weights, activations] : {std::tuple{"bcgd", 2, 4},
                                                   {"bcgd", 4, 8},
                                                   {"bcgd", 8, 2},
                                                   {"dorefa", 2, 2},
                                                   {"dorefa", 8, 8},
                                                   {"pact", 2, 3},
                                                   {"lsq", 4, 4},
                                                   {"aqe", 2, 2},
                                                   {"aqe", 3, 3},
                                                   {"lbw_net", 3, 0},
                                                   {"lbw_net", 6, 0}}) {
    const std::string row = cat(name, " ", weights, "w", activations, "a");
    INFO(row);
    const quant::Assembly a = trained(quant::with_bits(quant::method(name), {weights, activations}), small_network);
    expect_equal(*a.net, a.weights.get(), kImage, 3, 5);
  }
}

TEST_CASE("freeze: powers of two with quantized activations, float ones between them, and every layer quantized") {
  quant::Method method{.weights = {"power_of_two"}, .activations = {"uniform"}, .layers = {}};
  for (const int bits : {2, 3, 4, 6}) {
    INFO(bits, " bits");
    const quant::Assembly a = trained(quant::with_bits(method, {bits, 4}), small_network);
    const packed::Runtime net = expect_equal(*a.net, a.weights.get(), kImage, 3, 5);
    CHECK(contains(plan_of(net), "conv2:bytes") == (bits <= 4));
  }
}

TEST_CASE("freeze: a ResNet's blocks, both orders and all shortcuts, are deployed as they were evaluated") {
  for (const bool before : {false, true})
    for (const auto shortcut : {nn::Shortcut::subsample, nn::Shortcut::subsample_centered, nn::Shortcut::projection})
      for (const char* name : {"bcgd", "bnn"}) {
        INFO(name, before ? ", activations first" : "");
        const quant::Assembly a = trained(
            quant::method(name), [&](const nn::MakeActivation& act) { return small_resnet(act, before, shortcut); }, 2);
        expect_equal(*a.net, a.weights.get(), kImage, 3, 2);
      }
}

TEST_CASE("freeze: convolutions of floats give an image the same bits in every batch, however it is cut into groups") {
  nn::Sequential net;  // the second and the third one by Winograd's algorithm
  net.add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 3, .out = 16, .padding = 1}, Rng(1));
  net.add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 16, .out = 20, .padding = 1}, Rng(2));
  net.add<nn::BatchNorm>("norm", 20);
  net.add<nn::Conv2d>("conv3", nn::ConvOptions{.in = 20, .out = 33, .padding = 1}, Rng(3));
  net.add<nn::Flatten>("flatten");
  net.add<nn::Linear>("fc", 8 * 8 * 33, kClasses, Rng(4));
  constexpr std::int64_t kMost = 40;
  const Shape image{8, 8, 3};
  CHECK(plan_of(expect_equal(net, nullptr, image, kMost, 3)) == "conv1:floats conv2:floats conv3:floats fc:floats ");
  const std::vector<float> x = gaussian(kMost * image.numel(), 5);
  const std::vector<float> together = evaluated(net, nullptr, batch_shape(kMost, image), x);
  const std::vector<float> last(x.end() - image.numel(), x.end());
  CHECK(same_bits(evaluated(net, nullptr, batch_shape(1, image), last),
                  std::vector<float>(together.end() - kClasses, together.end())));
}

TEST_CASE(
    "freeze: codes behind a normalisation come from integer thresholds, those behind a sum from the float expression") {
  const quant::Assembly a = trained(quant::method("bcgd"), small_network);
  const packed::Runtime net = expect_equal(*a.net, a.weights.get(), kImage, 2, 1);
  CHECK(plan_of(net) == "conv1:floats conv2:bytes>act2 conv3:bytes>act3 fc1:bits>act4 fc2:floats ");
  const quant::Assembly r = trained(
      quant::method("bcgd"),
      [](const nn::MakeActivation& act) { return small_resnet(act, false, nn::Shortcut::subsample); }, 1);
  const std::string plan = plan_of(expect_equal(*r.net, r.weights.get(), kImage, 2, 1));
  CHECK(contains(plan, "stages.stage1_block1.conv1:bytes>stages.stage1_block1.act "));
  CHECK(contains(plan, "stages.stage1_block1.conv2:bytes stages"));
}

TEST_CASE("freeze: negative and zero factors of a normalisation, a channel that never fires and one that always does") {
  const quant::Assembly a = trained(quant::method("bcgd"), small_network);
  for (const auto& [name, parameter] : a.net->named_parameters()) {
    if (name != "norm2.scale" && name != "norm2.shift" && name != "norm4.scale" && name != "norm4.shift") continue;
    Real* const values = parameter->value.mutable_data();
    const bool scale = name.ends_with("scale");
    values[0] = scale ? -1 : Real(0.5);
    values[1] = scale ? 0 : Real(0.4);
    values[2] = scale ? 1 : Real(-1e6);
    values[3] = scale ? 1 : Real(1e6);
    values[4] = scale ? -Real(1e-3) : 0;
  }
  const packed::Runtime net = expect_equal(*a.net, a.weights.get(), kImage, 4, 3);
  CHECK(contains(plan_of(net), "conv2:bytes>act2"));
}

TEST_CASE("freeze: a model with another weight computes something else") {
  const quant::Assembly a = trained(quant::method("bcgd"), small_network);
  packed::Model model = quant::freeze(*a.net, kImage, a.weights.get());
  const std::vector<float> x = gaussian(2 * kImage.numel(), 1);
  const std::vector<float> before = inferred(packed::Runtime(packed::Model(model)), 2, x);
  for (packed::Node& node : model.nodes)
    if (node.name == "conv2") std::get<packed::Conv2d>(node.operation).weight.fields[3] ^= 0xff;
  CHECK(!same_bits(inferred(packed::Runtime(std::move(model)), 2, x), before));
}

TEST_CASE("freeze: nodes are called as their modules are, and the network is left as it was") {
  const quant::Assembly a = trained(quant::method("bcgd"), small_network);
  const nn::StateDict before = a.net->state_dict();
  const packed::Model model = quant::freeze(*a.net, kImage, a.weights.get());
  std::string names;
  for (const packed::Node& node : model.nodes) names += node.name + " ";
  CHECK(names == "input conv1 norm1 act1 conv2 pool2 norm2 act2 conv3 norm3 act3 flatten fc1 norm4 act4 fc2 ");
  CHECK(a.net->training());
  const nn::StateDict after = a.net->state_dict();
  for (std::size_t i = 0; i < before.size(); ++i)
    CHECK(std::ranges::equal(before[i].second.view(), after[i].second.view()));
}

TEST_CASE("freeze: what a packed model cannot hold is refused by the name of op and module") {
  class Exponential : public nn::Module {
   public:
    Var forward(const Var& x) override { return exp(x); }
  };
  nn::Sequential net;
  net.add<Exponential>("grow");
  CHECK_SAYS(complaint_of([&] { quant::freeze(net, {4}); }), "freeze: the op exp of 'grow': expected a convolution");
  nn::Sequential linear;
  nn::Linear& fc = linear.add<nn::Linear>("fc", 4, 2, Rng(1));
  fc.weight.value.mutable_data()[0] = NAN;
  CHECK_SAYS(complaint_of([&] { quant::freeze(linear, {4}); }), "given a number that is not finite");
  class Two : public nn::Module {
   public:
    Var forward(const Var& x) override { return x + Tensor({4}, Real(1)); }
  };
  Two two;
  CHECK_SAYS(complaint_of([&] { quant::freeze(two, {4}); }), "given a parameter or a constant");
}

TEST_CASE(
    "freeze: activations of more than 8 bits, and grids that nobody knows before the batch, are refused with the "
    "reason") {
  const auto complaint = [](const Part& activation) {
    const quant::Method method{.weights = {"exact"}, .activations = activation};
    const auto net = quant::make_network(method, small_network, kImage);
    const auto rule = quant::make_rule(method, *net);
    return complaint_of([&] { quant::freeze(*net, kImage, rule.get()); });
  };
  CHECK(complaint({"dorefa", quant::DorefaOptions{.bits = 8}}) == "");
  CHECK_SAYS(complaint({"dorefa", quant::DorefaOptions{.bits = 9}}), "given 9 bits, expected at most 8");
  CHECK_SAYS(complaint({"dorefa_tanh", quant::BoundedOptions{.bits = 16}}), "given 16 bits, expected at most 8");
  class Follows : public nn::Module {
   public:
    Var forward(const Var& x) override {
      return record(
          "quantize_activation", x.value(), {x}, [](const Tensor& g) -> Gradients { return {g}; },
          [] {
            return Attributes{{"bits", 2}, {"levels", 3}, {"rounding", "nearest"}};
          });
    }
  };
  nn::Sequential net;
  net.add<Follows>("own");
  CHECK_SAYS(complaint_of([&] { quant::freeze(net, {4}); }),
             "freeze: the op quantize_activation of 'own': given no alpha, expected one that does not depend");
}

TEST_CASE(
    "freeze: ResNet-20 of 1-bit weights takes less than 52,000 bytes with signs and less than 60,000 with 4 bits, "
    "whatever its first and last layers have") {
  const auto bytes_with = [](const Part& activation, const std::vector<std::string>& layers) {
    const quant::Method method{.weights = {"exact"}, .activations = activation, .layers = layers};
    const auto net = quant::make_network(
        method, [](const nn::MakeActivation& act) { return nn::make_network("resnet20", act, Rng(1)); }, {32, 32, 3});
    const auto rule = quant::make_rule(method, *net);
    return packed::bytes_of(quant::freeze(*net, {32, 32, 3}, rule.get())).size();
  };
  for (const std::vector<std::string>& layers :
       std::vector<std::vector<std::string>>{{},
                                             {"last: weights=float"},
                                             {"first: weights=float", "last: weights=float"},
                                             {"first: float", "last: float"},
                                             {"first: weights.bits=8", "last: weights.bits=8"}}) {
    const std::size_t signs = bytes_with({"sign"}, layers), four_bits = bytes_with({"uniform"}, layers);
    std::string text;
    for (const std::string& layer : layers) text += layer + "; ";
    MESSAGE("ResNet-20, ", text, "1W1A: ", signs, " bytes, 1W4A: ", four_bits, " bytes");
    CHECK(signs < 52'000);
    CHECK(four_bits < 60'000);
  }
}
