// The networks of experiments/zoo on images that are drawn here: what they compute does not change with the
// kernel table, and not with the version of the library.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/deferred.h"
#include "core/ops.h"
#include "datasets/synthetic.h"
#include "experiments/training/settings.h"
#include "experiments/training/training.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/weights/projection.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;
using namespace coarsegrad::testing;

namespace {

constexpr std::int64_t kImages = 200;

const datasets::ImageDataset& images() {
  static const datasets::ImageDataset drawn = datasets::drawn_shapes(kImages, 1);
  return drawn;
}

std::unique_ptr<nn::Module> from_zoo(const std::string& name, const nn::MakeActivation& activation) {
  auto net =
      network_maker({}, images(), 1, cat(COARSEGRAD_SOURCE, "/experiments/zoo/", name, ".safetensors"))(activation);
  net->eval();
  return net;
}

Tensor batch() {
  datasets::DataLoader loader(images(), {.batch_size = kImages, .shuffle = false});
  return loader.next()["image"];
}

// Mean of each logit over the images.
std::vector<double> mean_logits(const Tensor& logits) {
  std::vector<double> mean(10);
  for (std::int64_t i = 0; i < logits.numel(); ++i)
    mean[static_cast<std::size_t>(i % 10)] += static_cast<double>(logits[i]) / kImages;
  return mean;
}

double largest(const Tensor& t) {
  double most = 0;
  for (const Real v : t.view()) most = std::max(most, std::abs(static_cast<double>(v)));
  return most;
}

nn::MakeActivation four_bit_activations() { return quant::make_activation(Part{"uniform"}); }

nn::Module& part(nn::Module& net, std::string_view wanted) {
  for (const auto& [name, module] : net.named_modules())
    if (name == wanted) return *module;
  throw Error(cat("given no module ", wanted));
}

// The 3x3 convolution of images that are no codes, with one sum in double for each output: the kernel table
// does not matter.
Tensor first_convolution(const Tensor& x, const Tensor& weight) {
  const std::int64_t side = x.size(1), in = x.size(3), out = weight.size(0);
  const ConvShape s{.batch = x.size(0),
                    .height = side,
                    .width = side,
                    .in_channels = in,
                    .out_channels = out,
                    .kernel_h = 3,
                    .kernel_w = 3,
                    .pad_h = 1,
                    .pad_w = 1};
  Tensor y = Tensor::uninitialized({x.size(0), side, side, out});
  std::vector<double> sums(static_cast<std::size_t>(y.numel()));
  for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
    sums[static_cast<std::size_t>(iy)] += static_cast<double>(x[ix]) * static_cast<double>(weight[iw]);
  });
  std::ranges::transform(sums, y.mutable_data(), [](double sum) { return static_cast<Real>(sum); });
  return y;
}

// The codes behind the last block, as a digest; y is what the first convolution makes of the images.
// Everything from there on is a sum of integers or an elementwise map, which all tables compute alike.
std::string digest_of_codes(nn::Module& net, const Tensor& y, const char* table) {
  use_kernels(table);
  const Var first = part(net, "act")(part(net, "norm")(Var(y)));
  const Tensor blocks = part(net, "stages")(first).value();
  use_kernels("auto");
  const Coded* coded = blocks.coded();
  REQUIRE(coded != nullptr);
  return sha256({std::as_bytes(std::span(coded->codes(), static_cast<std::size_t>(blocks.numel())))});
}

}  // namespace

TEST_CASE("zoo: ResNet-20 with 1-bit weights and 4-bit activations gives the same codes on every kernel table" *
          doctest::test_suite("long")) {
  const NoGrad constant;
  Tensor y;
  const auto digest_with = [&](const char* table, Real shift) {
    const auto net = from_zoo("resnet20_1w4a", four_bit_activations());
    quant::WeightRule rule(*net, Part{"binary", quant::BinaryOptions{.bits = 1}}, Part{"none"},
                           quant::LayerExceptions({"last: weights=float"}));
    rule.weights()[10].weight->value.mutable_data()[0] += shift;
    rule.deploy();
    if (!y.defined()) y = first_convolution(batch(), part(*net, "conv").weight_parameter()->effective);
    return digest_of_codes(*net, y, table);
  };
  const std::string kStored = "7ed99cb7048b5533b8b0e94251f354f12c2d73792d77bcf3a3067bdf1499cb89";
  for (const Kernels* table : all_kernels()) {
    INFO("table ", std::string(table->name));
    CHECK(digest_with(table->name, 0) == kStored);
  }
  CHECK(digest_with("auto", 1) != kStored);  // one weight of 268,336 makes a difference
}

TEST_CASE("zoo: the float ResNet-20 gives the same logits on every kernel table, within 1e-5 of the largest" *
          doctest::test_suite("long")) {
  const auto net = from_zoo("resnet20_float", nn::relu_activation());
  const NoGrad constant;
  const Tensor x = batch();
  use_kernels("scalar");
  const Tensor reference = (*net)(x).value();
  const double bound = 1e-5 * largest(reference);
  const double stored[] = {0.295698,  -0.39405, 1.53069,  1.04237,   -0.160184,
                           -0.680758, 0.626064, -1.32062, -0.435039, -0.504747};
  const std::vector<double> mean = mean_logits(reference);
  for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(mean[i] - stored[i]) < bound);
  with_each_table([&] {
    const Tensor logits = (*net)(x).value();
    double off = 0;
    for (std::int64_t i = 0; i < logits.numel(); ++i)
      off = std::max(off, std::abs(static_cast<double>(logits[i] - reference[i])));
    CHECK(off <= bound);
  });
}
