// The variants of a comparison of methods: layers, schedules, and how bounded activations start.
#include "experiments/studies/method_variants.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/check.h"
#include "datasets/synthetic.h"
#include "nn/networks.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/assembly.h"
#include "quant/weights/weight_rule.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

std::unique_ptr<nn::Module> network(const nn::MakeActivation& activation) {
  return nn::make_network("preresnet20", activation, Rng(5), {.width = 4});
}

std::unique_ptr<nn::Module> network_of(const CellPlan& plan) {
  return quant::make_network(plan.method, network, {32, 32, 3});
}

CellPlan plan_of_method(VariantSettings s, const std::string& method, Bits bits) {
  s.methods = {method};
  return plan_of(s, {0, bits}, 9);
}

// Bits of weights in the first, an inner and the last layer, and of the activation that the last one reads.
std::vector<int> bits_of(const CellPlan& plan) {
  const auto net = network_of(plan);
  const auto rule = quant::make_rule(plan.method, *net);
  const auto weights_of = [&rule](const std::string& layer) {
    for (const auto& entry : rule->weights())
      if (entry.name == layer + ".weight") return entry.projection->bits();
    return 0;
  };
  std::vector<int> bits{weights_of("conv"), weights_of("stages.stage2_block1.conv2"), weights_of("fc")};
  for (const auto& [name, module] : net->named_modules())
    if (const auto* act = dynamic_cast<const quant::ActivationQuantizer*>(module); act && name == "act")
      bits.push_back(act->bits());
  return bits;
}

// The smallest share of an activation's outputs that are not 0, in a forward pass of the first batch.
double least_firing(const CellPlan& plan) {
  const auto net = network_of(plan);
  double least = 1;
  for (const auto& [name, module] : net->named_modules())
    if (module->activation())
      module->register_forward_hook([&least](nn::Module&, const Var&, const Var& y) {
        const auto zeros = std::ranges::count(y.value().view(), Real(0));
        least = std::min(least, 1 - static_cast<double>(zeros) / static_cast<double>(y.numel()));
      });
  const datasets::ImageDataset images = datasets::drawn_shapes(16, 3);
  datasets::DataLoader loader(images, {.batch_size = 16});
  (*net)(loader.next()["image"]);
  return least;
}

}  // namespace

TEST_CASE("variants: with their own layers methods treat the first and the last one as their papers do") {
  VariantSettings s;
  s.layers = "own";
  CHECK(bits_of(plan_of_method(s, "xnor_net", {1, 1})) == std::vector<int>{0, 1, 0, 1});
  for (const char* method : {"dorefa", "telcnn"})
    CHECK(bits_of(plan_of_method(s, method, {2, 2})) == std::vector<int>{0, 2, 0, 32});
  CHECK(bits_of(plan_of_method(s, "pact", {2, 2})) == std::vector<int>{0, 2, 0, 2});
  CHECK(bits_of(plan_of_method(s, "lsq", {2, 2})) == std::vector<int>{8, 2, 8, 8});
  s.layers = "not_last";
  for (const char* method : {"dorefa", "pact", "lsq"})
    CHECK(bits_of(plan_of_method(s, method, {2, 2})) == std::vector<int>{2, 2, 0, 2});
}

TEST_CASE("variants: each method at the bits that it has, the float control last") {
  VariantSettings s;
  s.methods = {"lsq", "binary_connect"};
  s.own_bits = false;
  const std::vector<Variant> all = variants_of(s);
  REQUIRE(all.size() == 3);  // 1-bit weights are not LSQ's, 2-bit ones not BinaryConnect's
  CHECK(all[0].key() == std::vector<double>{0, 2, 2});
  CHECK(all[1].key() == std::vector<double>{1, 1, 0});
  CHECK(all[2].key() == std::vector<double>{2, 0, 0});
  CHECK(plan_of(s, all[2], 9).name == "float-control");
  CHECK(words(plan_of(s, all[2], 9).method) == words(quant::Method{}));
  s.float_control = false;
  CHECK(variants_of(s).size() == 2);
  s.bits = {0, 1};
  CHECK_THROWS_AS(variants_of(s), UsageError);
}

TEST_CASE("variants: schedules are stretched to as many epochs as there are, stages divide them") {
  VariantSettings s;
  s.methods = {"binary_relax", "telcnn"};
  for (const int epochs : {9, 27}) {
    const CellPlan relaxed = plan_of(s, {0, {1, 0}}, epochs);
    CHECK(relaxed.optim.epochs == epochs);
    CHECK(std::get<double>(relaxed.method.relaxation.options.get("every")) == epochs / 200.0);
    const CellPlan staged = plan_of(s, {1, {2, 2}}, epochs);
    CHECK(staged.optim.epochs == epochs / 9);
    CHECK(epochs_on_the_way(staged) == static_cast<std::size_t>(8 * epochs / 9));
  }
  CHECK(plan_of(s, {1, {2, 2}}, 1).optim.epochs == 1);
}

TEST_CASE("variants: from a float net that ends at 1, PACT's clip and all float activations end there") {
  VariantSettings s;
  s.float_net.end = 1;
  CHECK(std::get<double>(plan_of_method(s, "pact", {2, 2}).method.activations.options.get("alpha")) == 1);
  CHECK(plan_of_method(s, "twn", {2, 0}).method.activations == float_method(s.float_net).activations);
  CHECK(float_control(s).method.activations.name == "clipped_relu");
  CHECK(plan_of_method(s, "bcgd", {1, 4}).method.activations.name == "trained");
  s.float_net.end = 0;
  CHECK(std::get<double>(plan_of_method(s, "pact", {2, 2}).method.activations.options.get("alpha")) == 10);
  CHECK(plan_of_method(s, "twn", {2, 0}).method.activations.name == "relu");
}

TEST_CASE("variants: at 1 bit PACT and DoReFa fire at the first step where the float net ends at 1") {
  VariantSettings s;
  s.layers = "own";
  CHECK(least_firing(plan_of_method(s, "pact", {1, 1})) < 1e-3);  // hardly anything is above 5, half of its alpha
  s.float_net.end = 1;
  for (const char* method : {"pact", "dorefa"}) {
    CAPTURE(method);
    CHECK(least_firing(plan_of_method(s, method, {1, 1})) > 0.1);
  }
}
