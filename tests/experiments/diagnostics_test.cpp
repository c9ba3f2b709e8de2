#include "experiments/studies/diagnostics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "datasets/synthetic.h"
#include "experiments/training/network_state.h"
#include "nn/networks.h"
#include "quant/activations/uniform.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

std::unique_ptr<nn::Module> small_resnet(const nn::MakeActivation& activation) {
  return nn::make_network("resnet20", activation, Rng(5), {.width = 4});
}

std::unique_ptr<nn::Module> quantized(const std::string& ste, int bits) {
  return small_resnet(quant::uniform_activation(bits, surrogate(ste)));
}

const datasets::ImageDataset& images() {
  static const datasets::ImageDataset data = datasets::drawn_shapes(12, 3);
  return data;
}

}  // namespace

TEST_CASE("diagnostics: a network beside itself points the same way, another estimator does not") {
  const auto net = quantized("clipped_relu", 2), same = quantized("clipped_relu", 2), other = quantized("identity", 2);
  const DiagnosticsOptions no_descent{.directions = 0};
  const auto beside_itself = diagnose(*net, *same, images(), no_descent, Rng(1));
  const auto beside_other = diagnose(*other, *net, images(), no_descent, Rng(1));
  REQUIRE(beside_itself.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(beside_itself[i].cosine_to_reference == doctest::Approx(1));
    CHECK(beside_itself[i].gradient_norm > 0);
    CHECK(std::isnan(beside_itself[i].cosine_to_descent));
  }
  CHECK(beside_other[5].cosine_to_reference < 0.9);
  CHECK(beside_other[19].cosine_to_reference == doctest::Approx(1));  // no activation behind the last layer
}

TEST_CASE("diagnostics: layers come in the order of the forward pass, an activation belongs to the one before it") {
  const auto net = quantized("clipped_relu", 4);
  const auto names = layer_names(*net, images().image);
  REQUIRE(names.size() == 20);
  CHECK(names.front() == "conv");
  CHECK(names.back() == "fc");
  const auto twin = quantized("clipped_relu", 4);
  const auto found = diagnose(*net, *twin, images(), {.directions = 0}, Rng(1));
  for (std::size_t i = 0; i + 1 < found.size(); ++i) {
    CHECK(found[i].active_share > 0.05);
    CHECK(found[i].active_share < 0.95);
  }
  CHECK(std::isnan(found.back().active_share));
}

TEST_CASE("diagnostics: where the loss has a gradient it is the direction of descent, a wrong one is not" *
          doctest::test_suite("long")) {
  const auto net = small_resnet(nn::relu_activation()), twin = small_resnet(nn::relu_activation());
  const auto found = diagnose(*net, *twin, images(), {.directions = 8, .step = 1e-2}, Rng(1));
  double mean = 0;
  for (const LayerDiagnostics& layer : found) mean += layer.cosine_to_descent / 20;
  CHECK(mean > 0.95);
  CHECK(found.back().cosine_to_descent > 0.99);
  const auto coarse = quantized("identity", 1);
  const auto wrong = diagnose(*coarse, *coarse, images(), {.directions = 8, .step = 1e-2}, Rng(1));
  double wrong_mean = 0;
  for (const LayerDiagnostics& layer : wrong) wrong_mean += layer.cosine_to_descent / 20;
  CHECK(wrong_mean < 0.7);
}

TEST_CASE("diagnostics: the networks are left as they were") {
  const auto net = quantized("relu", 2), twin = quantized("clipped_relu", 2);
  const auto before = net->state_dict();
  diagnose(*net, *twin, images(), {.directions = 1}, Rng(1));
  const auto after = net->state_dict();
  for (std::size_t i = 0; i < before.size(); ++i)
    CHECK(std::ranges::equal(before[i].second.view(), after[i].second.view()));
  for (const Parameter* p : net->parameters()) CHECK_FALSE(p->grad().defined());
}
