// Networks of signs train on integers as they would on floats, where floats are exact.
#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>

#include "core/ops.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "optim/adam.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/sign.h"
#include "quant/assembly.h"
#include "quant/evaluation_scope.h"

using namespace coarsegrad;

namespace {

constexpr int kSteps = 4;
const Shape kImage{10, 10, 3};

/// Signs as floats, without their codes: what reads them multiplies floats.
class BareSigns : public nn::Activation {
 public:
  Var forward(const Var& x) override {
    const Var y = signs_(x);
    const Tensor plain(y.shape(), std::vector<Real>(y.value().view().begin(), y.value().view().end()));
    return record("bare", plain, {y}, [](const Tensor& g) -> Gradients { return {g}; });
  }

 private:
  quant::SignActivation signs_;
};

Part bare_signs() {
  static const bool added = [] {
    quant::activations().add("bare_signs", "", [] {
      return nn::MakeActivation([](const std::string&) { return std::make_unique<BareSigns>(); });
    });
    return true;
  }();
  static_cast<void>(added);
  return {"bare_signs"};
}

// Without biases in convolutions, which floats add first and integers last, and with too few channels for Winograd's
// algorithm.
std::unique_ptr<nn::Module> small_network(const nn::MakeActivation& activation) {
  const Rng rng(7);
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 3, .out = 8, .padding = 1, .bias = false}, rng.split("conv1"));
  net->add<nn::BatchNorm>("norm1", 8);
  net->append("act1", activation("act1"));
  net->add<nn::MaxPool2d>("pool1");
  net->add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 8, .out = 16, .padding = 1, .bias = false}, rng.split("conv2"));
  net->add<nn::BatchNorm>("norm2", 16);
  net->append("act2", activation("act2"));
  net->add<nn::Flatten>("flatten");
  net->add<nn::Linear>("fc1", 5 * 5 * 16, 24, rng.split("fc1"));
  net->add<nn::BatchNorm>("norm3", 24);
  net->append("act3", activation("act3"));
  net->add<nn::Linear>("fc2", 24, 5, rng.split("fc2"));
  return net;
}

// All values of the network and of its logits after some steps.
std::vector<Real> trained(const quant::Method& method) {
  quant::Assembly a = quant::assemble(
      {.method = method, .network = small_network, .input = kImage, .optimizer = [](std::vector<Parameter*> all) {
         return std::make_unique<optim::Adam>(all, optim::AdamOptions{.lr = 0.01});
       }});
  quant::QuantizedOptimizer step(*a.optimizer, *a.net, a.quantized(), {kSteps, 1});
  const Tensor labels = Tensor::of<std::int32_t>({6}, {0, 1, 2, 3, 4, 0});
  for (int i = 0; i < kSteps; ++i) {
    step.zero_grad();
    cross_entropy((*a.net)(nn::normal({6, 10, 10, 3}, 1, Rng(static_cast<std::uint64_t>(i)))), labels).backward();
    step.step();
  }
  std::vector<Real> all;
  for (const auto& [name, value] : a.net->state_dict()) std::ranges::copy(value.view(), std::back_inserter(all));
  const quant::EvaluationScope deployed(*a.net, a.weights.get());
  std::ranges::copy((*a.net)(nn::normal({6, 10, 10, 3}, 1, Rng(9))).value().view(), std::back_inserter(all));
  return all;
}

quant::Method with_activations(quant::Method method, const Part& activations) {
  method.activations = activations;
  return method;
}

}  // namespace

TEST_CASE("networks of signs, bnn and bop, are trained and deployed on integers as on the floats of their signs") {
  for (const char* name : {"bnn", "bop"}) {
    INFO(name);
    const quant::Method method = quant::method(name);
    REQUIRE(method.activations.name == "sign");
    CHECK(trained(method) == trained(with_activations(method, bare_signs())));
  }
}
