#include "nn/networks.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "nn/init.h"
#include "quant/activations/uniform.h"
#include "tests/support/errors.h"

using namespace coarsegrad;

namespace {

std::int64_t parameter_count(nn::Module& net) {
  std::int64_t count = 0;
  for (const Parameter* p : net.parameters()) count += p->value.numel();
  return count;
}

// A width small enough to run the deep networks in a test.
std::unique_ptr<nn::Module> narrow(const std::string& name, nn::Shortcut shortcut = nn::Shortcut::subsample) {
  return nn::make_network(name, nn::relu_activation(), Rng(1), {.classes = 7, .width = 4, .shortcut = shortcut});
}

}  // namespace

TEST_CASE("the networks have the numbers of parameters that their definitions add up to") {
  // Convolutions 9 (in x out) each, two numbers per normalised channel, one dense layer.
  const auto count = [](const std::string& name, nn::NetworkOptions options = {}) {
    return parameter_count(*nn::make_network(name, nn::relu_activation(), Rng(1), options));
  };
  CHECK(count("resnet20") == 269722);
  CHECK(count("resnet32") == 464154);
  CHECK(count("resnet56") == 853018);
  CHECK(count("preresnet20") == 269722);  // its normalisations stand elsewhere and are as large in all
  CHECK(count("preresnet56") == 853018);
  CHECK(count("preresnet20", {.shortcut = nn::Shortcut::projection}) == 269722 + 16 * 32 + 32 * 64);
  CHECK(count("resnet20", {.shortcut = nn::Shortcut::projection}) == 269722 + 16 * 32 + 32 * 64 + 2 * (32 + 64));
  CHECK(count("resnet20", {.affine = false}) == 269722 - 2 * (7 * 16 + 6 * 32 + 6 * 64));
  CHECK(count("vgg11", {.affine = false}) == 9 * 1024192 + 5130);
  CHECK(count("bnn_convnet", {.affine = false}) == count("bnn_convnet") - 2 * (2 * 896 + 2 * 1024 + 10));
  CHECK(count("resnet20", {.classes = 100}) == 269722 + 90 * 65);
  CHECK(count("vgg11") == 9 * 1024192 + 2 * 2752 + 5130);
  CHECK(count("vgg16") ==
        9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256 * 256 + 256 * 512 + 5 * 512 * 512) +
            2 * 4224 + 5130);
  CHECK(count("bnn_convnet") == 9 * (3 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512) +
                                    8192 * 1024 + 1024 * 1024 + 1024 * 10 + 2 * (2 * 896 + 2 * 1024 + 10));
}

TEST_CASE("the models of bnn_convnet keep their proportions at another width, and their options are bnn_convnet's") {
  const auto count = [](const std::string& name, nn::NetworkOptions options) {
    return parameter_count(*nn::make_network(name, nn::relu_activation(), Rng(1), options));
  };
  // Model D at an eighth of its width, without scale and shift: 8, 16, 32 channels and 32 dense outputs.
  const std::int64_t convolutions = 9 * (3 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 32 * 32);
  CHECK(count("bnn_convnet_d", {.width = 8, .affine = false}) == convolutions + 9 * 32 * 32 + 32 * 32 + 32 * 10 + 10);
  const auto padded = nn::bnn_convnet(nn::relu_activation(), Rng(1), {.width = 8, .dense = 32, .affine = false});
  CHECK(parameter_count(*padded) == convolutions + 16 * 32 * 32 + 32 * 32 + 32 * 10);
}

TEST_CASE("xavier_uniform fills the interval of half width sqrt(6 / (in + out)), with every weight of a model") {
  CHECK(nn::fan_in({64, 3, 5, 32}) == 3 * 5 * 32);
  CHECK(nn::fan_out({64, 3, 5, 32}) == 3 * 5 * 64);
  const auto net = nn::make_network("bnn_convnet_d", nn::relu_activation(), Rng(1));
  for (const auto& [path, module] : net->named_modules()) {
    const Parameter* weight = module->weight_parameter();
    if (!weight) continue;
    const std::string& name = path;
    CAPTURE(name);
    const Shape& shape = weight->value.shape();
    const double bound = std::sqrt(6.0 / static_cast<double>(nn::fan_in(shape) + nn::fan_out(shape)));
    double largest = 0, squares = 0;
    for (const Real v : weight->value.view()) {
      largest = std::max(largest, std::abs(static_cast<double>(v)));
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
    CHECK(largest <= bound * (1 + 1e-6));
    CHECK(largest >= .99 * bound);
    CHECK(squares / static_cast<double>(weight->value.numel()) == doctest::Approx(bound * bound / 3).epsilon(.05));
  }
}

TEST_CASE("every network maps its images to one number per class, in training and in evaluation") {
  for (const std::string& name : nn::network_names()) {
    CAPTURE(name);
    const auto net = narrow(name);
    const Shape image = nn::network_input(name);
    const auto batch = [&](std::int64_t n) { return Tensor({n, image[0], image[1], image[2]}, Real(0.5)); };
    CHECK((*net)(batch(2)).shape() == Shape{2, 7});
    net->eval();
    CHECK((*net)(batch(1)).shape() == Shape{1, 7});
  }
  for (const char* name : {"resnet20", "preresnet20"})
    CHECK((*narrow(name, nn::Shortcut::projection))(Tensor({2, 32, 32, 3})).shape() == Shape{2, 7});
}

TEST_CASE("a residual network with zeroed convolutions hands its input on through the shortcuts") {
  bool preactivation = false;
  SUBCASE("activations behind the sums") {}
  SUBCASE("activations before the convolutions") { preactivation = true; }
  const auto net =
      nn::resnet(8, nn::relu_activation(), Rng(1), {.classes = 2, .width = 4, .preactivation = preactivation});
  for (const auto& [name, p] : net->named_parameters()) {
    if (name.ends_with("conv1.weight") || name.ends_with("conv2.weight")) p->value = Tensor(p->value.shape());
    if (name == "conv.weight") p->value = Tensor(p->value.shape(), Real(1));
    if (name == "fc.weight") p->value = Tensor(p->value.shape(), Real(1));
    if (name == "fc.bias") p->value = Tensor(p->value.shape());
  }
  net->eval();
  // Constant image: inside, every channel of the first convolution is 27, at an edge 18, in a corner 12. The
  // two subsamplings keep the pixels (4 i, 4 j); of these 1 lies in a corner and 14 at an edge.
  const Real mean = static_cast<Real>((49 * 27.0 + 14 * 18.0 + 12.0) / 64 / std::sqrt(1 + 1e-5));
  const Var y = (*net)(Tensor({1, 32, 32, 3}, Real(1)));
  for (const Real v : y.value().view()) CHECK(v == doctest::Approx(4 * mean).epsilon(1e-5));
}

TEST_CASE("centered shortcuts hand the input on to the channels in the middle") {
  const auto net = nn::resnet(8, nn::relu_activation(), Rng(1),
                              {.classes = 2, .width = 4, .shortcut = nn::Shortcut::subsample_centered});
  for (const auto& [name, p] : net->named_parameters()) {
    if (name.ends_with("conv1.weight") || name.ends_with("conv2.weight")) p->value = Tensor(p->value.shape());
    if (name == "conv.weight") p->value = Tensor(p->value.shape(), Real(1));
    if (name == "fc.bias") p->value = Tensor(p->value.shape());
    if (name == "fc.weight")  // the first class sees channels 6 to 9 of 16, the second one all others
      for (std::int64_t i = 0; i < p->value.numel(); ++i)
        p->value.mutable_data()[i] = Real((i % 16 / 2 == 3 || i % 16 / 2 == 4) == (i < 16));
  }
  net->eval();
  const Var y = (*net)(Tensor({1, 32, 32, 3}, Real(1)));
  CHECK(y.value()[0] > 1);
  CHECK(y.value()[1] == 0);
}

TEST_CASE("shortcuts have names, and another name is refused with the list") {
  for (const std::string& name : nn::shortcut_names()) CHECK_NOTHROW(narrow("resnet20", nn::shortcut(name)));
  CHECK(nn::shortcut("subsample_centered") == nn::Shortcut::subsample_centered);
  CHECK_THROWS_AS(nn::shortcut("option_a"), UsageError);
}

TEST_CASE("both activations of a block are one module, which sees two inputs per pass") {
  std::string kind = "resnet20";
  SUBCASE("behind the convolutions") {}
  SUBCASE("before them") { kind = "preresnet20"; }
  const auto net = narrow(kind);
  int acts = 0, calls = 0;
  for (const auto& [name, module] : net->named_modules())
    if (name.ends_with("act")) {
      ++acts;
      module->register_forward_hook([&](nn::Module&, const Var&, const Var&) { ++calls; });
    }
  (*net)(Tensor({2, 32, 32, 3}, Real(1)));
  CHECK(acts == 10);
  CHECK(calls == 19);
}

TEST_CASE("an unknown network or depth is refused with what there is") {
  CHECK_SAYS(complaint_of([] { nn::make_network("resnet21", nn::relu_activation(), Rng(1)); }),
             "expected one of lenet5, vgg11");
  CHECK_THROWS_AS(nn::make_network("resnet21", nn::relu_activation(), Rng(1)), UsageError);
  CHECK_THROWS_AS(nn::resnet(21, nn::relu_activation(), Rng(1)), Error);
}

namespace {

// Loss and all gradients of one training step of a small residual network.
std::vector<std::vector<Real>> step_of(const nn::MakeActivation& activation, bool watched) {
  const auto net = nn::resnet(8, activation, Rng(3), {.classes = 5, .width = 8});
  if (watched)  // a hook on a normalisation makes it a pass of its own
    for (const auto& [name, module] : net->named_modules())
      if (!module->running_statistics().empty())
        module->register_forward_hook([](nn::Module&, const Var&, const Var&) {});
  const Tensor labels = Tensor::of<std::int32_t>({3}, {1, 0, 4});
  const Var loss = cross_entropy((*net)(nn::normal({3, 32, 32, 3}, 1, Rng(4))), labels);
  loss.backward();
  std::vector<std::vector<Real>> all{{loss.item()}};
  for (const Parameter* p : net->parameters()) all.emplace_back(p->grad().view().begin(), p->grad().view().end());
  return all;
}

}  // namespace

TEST_CASE("normalise, add and activate in one pass gives the bits of the three passes, forward and backward") {
  CHECK(step_of(nn::relu_activation(), false) == step_of(nn::relu_activation(), true));
  for (const char* ste : {"identity", "relu", "clipped_relu", "tanh"}) {
    CAPTURE(ste);
    const auto quantized = quant::uniform_activation(2, surrogate(ste));
    CHECK(step_of(quantized, false) == step_of(quantized, true));
  }
  CHECK(step_of(nn::relu_activation(), false) != step_of(quant::uniform_activation(2, surrogate("relu")), false));
}

TEST_CASE("a NaN in a normalised and quantized activation is not lost") {
  for (const bool training : {true, false}) {
    const auto net = nn::resnet(8, quant::uniform_activation(2, surrogate("clipped_relu")), Rng(3), {.width = 8});
    net->train(training);
    Tensor x({2, 32, 32, 3}, Real(1));
    x.mutable_data()[5000] = std::numeric_limits<Real>::quiet_NaN();
    CHECK(std::isnan((*net)(x).value()[10]));
  }
}
