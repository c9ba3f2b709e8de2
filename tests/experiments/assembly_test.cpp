// One assembly: by flags, as a recipe in C++ and as a plan every method trains the same.
#include "quant/assembly.h"

#include <doctest/doctest.h>

#include "core/ops.h"
#include "experiments/training/method_settings.h"
#include "experiments/training/network_state.h"
#include "experiments/training/staged.h"
#include "nn/networks.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/uniform.h"
#include "quant/method.h"
#include "quant/weights/projection.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

constexpr std::uint64_t kSeed = 3;
constexpr std::int64_t kSteps = 20;

const datasets::ImageDataset& digits() {
  static const datasets::ImageDataset data = datasets::drawn_digits(8 * kSteps, kSeed);
  return data;
}

// As `train --method NAME` takes it, in one stage.
nn::StateDict by_flags(const std::string& name) {
  quant::Method method;
  OptimSettings optim;
  NetSettings net;
  Args args("train", "");
  declare(args, optim);
  declare(args, net);
  declare(args, method);
  const std::vector<std::string> words{
      "train", "--method", name, "--stage-bits", "",         "--no-two-stage", "--net", "lenet5",         "--epochs",
      "1",     "--batch",  "8",  "--schedule",   "constant", "--lr",           "0.02",  "--weight-decay", "0"};
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  REQUIRE(args.parse(static_cast<int>(argv.size()), argv.data()));
  const SplitData data = split(datasets::TrainTest{digits(), digits()}, 0, kSeed);
  TrainingPlan plan{method, optim, {}, kSeed, {}};
  plan.options.quiet = true;
  StagedTraining training(plan, data, network_maker(net, *data.train, kSeed));
  training.run();
  return state_of(training.net(), training.trainer().rule());
}

// The same in C++.
nn::StateDict by_recipe(const std::string& name) {
  quant::Method method = quant::method(name);
  method.two_stage = false;
  method.progressive.clear();
  const bool adam = method.optimizer == "adam";
  const quant::Assembly a = quant::assemble(
      {.method = method,
       .network =
           [](const nn::MakeActivation& activation) {
             return nn::make_network("lenet5", activation, Rng(kSeed).split("net"));
           },
       .input = {28, 28, 1},
       .optimizer = [adam](std::vector<Parameter*> parameters) -> std::unique_ptr<optim::Optimizer> {
         if (adam) return std::make_unique<optim::Adam>(std::move(parameters), optim::AdamOptions{.lr = 0.02});
         return std::make_unique<optim::Sgd>(std::move(parameters), optim::SgdOptions{.lr = 0.02, .momentum = 0.9});
       },
       .rng = Rng(kSeed).split("gradients").split(0)});
  datasets::DataLoader loader(digits(), {.batch_size = 8, .drop_last = true, .seed = kSeed});
  quant::QuantizedOptimizer optimizer(*a.optimizer, *a.net, a.quantized(), {kSteps, 1});
  const FlushDenormals flush;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const datasets::Batch& batch = loader.next();
    optimizer.zero_grad();
    const auto outcome = [&batch](nn::Module& net) {
      const Var logits = net(batch["image"]);
      return quant::Outcome{logits, cross_entropy(logits, batch["label"])};
    };
    const quant::Outcome own = outcome(*a.net);
    if (a.guidance) {
      const quant::GuidedLosses losses = a.guidance->losses(own, outcome(*a.partner));
      (losses.student + losses.partner).backward();
    } else {
      own.task.backward();
    }
    optimizer.step();
  }
  return state_of(*a.net, a.weights.get());
}

std::vector<int> weight_bits_of(const quant::Method& method) {
  const auto net = nn::lenet5(nn::relu_activation(), Rng(1));
  const auto rule = quant::make_rule(method, *net);
  std::vector<int> bits;
  for (const auto& entry : rule->weights()) bits.push_back(entry.projection->bits());
  return bits;
}

}  // namespace

TEST_CASE("assembly: for each row --method NAME and the recipe in C++ give the same weights after 20 steps" *
          doctest::test_suite("long")) {
  std::size_t apart = 0;
  const nn::StateDict plain = by_flags("float");
  for (const std::string& name : quant::method_names()) {
    CAPTURE(name);
    const nn::StateDict flags = by_flags(name);
    CHECK(same(flags, by_recipe(name)));
    apart += !same(flags, plain);
  }
  CHECK(apart + 1 == quant::method_names().size());  // all but float are another training
}

TEST_CASE("layers: bits and parts by pattern, the last match wins, first and last are patterns") {
  const quant::Method four{.weights = {"exact", quant::ExactOptions{.bits = 4}}};
  const auto with = [&four](std::vector<std::string> layers) {
    quant::Method m = four;
    m.layers = std::move(layers);
    return weight_bits_of(m);
  };
  using Bits = std::vector<int>;  // of conv1, conv2, fc1, fc2
  CHECK(with({}) == Bits{4, 4, 4, 4});
  CHECK(with({"last: weights=float"}) == Bits{4, 4, 4});
  CHECK(with({"first: float", "last: float"}) == Bits{4, 4});
  CHECK(with({"first: weights.bits=8"}) == Bits{8, 4, 4, 4});
  CHECK(with({"conv*: weights=twn"}) == Bits{2, 2, 4, 4});
  CHECK(with({"conv*: weights=twn", "conv2: weights=exact weights.bits=7"}) == Bits{2, 7, 4, 4});
  CHECK(with({"conv2: weights.bits=7", "conv*: weights=twn"}) == Bits{2, 2, 4, 4});
  CHECK(with({"*: float", "fc1: weights=binary"}) == Bits{1});
  CHECK(four.layers == std::vector<std::string>{"last: weights=float"});
}

TEST_CASE("layers: activations by pattern, and what the last layer reads") {
  const auto bits_of = [](std::vector<std::string> layers) {
    const quant::Method m{.activations = {"dorefa"}, .layers = std::move(layers)};
    const auto net =
        quant::make_network(m, [](const nn::MakeActivation& a) { return nn::lenet5(a, Rng(1)); }, {28, 28, 1});
    std::vector<int> bits;
    for (const auto& [name, module] : net->named_modules())
      if (const auto* a = dynamic_cast<const quant::ActivationQuantizer*>(module)) bits.push_back(a->bits());
    return bits;
  };
  using Bits = std::vector<int>;
  CHECK(bits_of({}) == Bits{2, 2, 2});
  CHECK(bits_of({"last: float"}) == Bits{2, 2, 32});
  CHECK(bits_of({"act1: activations.bits=8"}) == Bits{8, 2, 2});
  CHECK(bits_of({"act*: activations=uniform activations.bits=3", "act2: activations=float"}) == Bits{3, 3});
  CHECK(bits_of({"first: float"}) == Bits{2, 2, 2});  // it reads the image
  CHECK(bits_of({"last: activations.bits=8"}) == Bits{2, 2, 8});
  CHECK(bits_of({"last: activations=pact activations.bits=3", "act2: activations.bits=4"}) == Bits{2, 4, 3});
  CHECK(bits_of({"act*: float", "last: activations.bits=8"}) == Bits{});  // what is float has no bits
}

TEST_CASE("layers: what is no exception, and one that no layer fulfils, is refused") {
  const auto complaint = [](const char* line) {
    return complaint_of([line] { weight_bits_of({.weights = {"exact"}, .layers = {line}}); });
  };
  for (const char* line : {"", ":", "fc1", "fc1:", ": float", "fc 1: float", "fc1: weights", "fc1: weights=",
                           "fc1: weight=float", "fc1: gradients=psq", "fc1: gradients.bits=3", "fc1: weights.=3"})
    CHECK_SAYS(complaint(line), "expected LAYER: SETTING");
  CHECK_SAYS(complaint("fc1: weights.bits=9"), "layers: 'fc1: weights.bits=9': bits: given 9");
  CHECK_SAYS(complaint("fc1: weights=twm"), "weight projection: given 'twm'");
  CHECK_SAYS(complaint_of([] {
               quant::make_network({.layers = {"conv9: float"}},
                                   [](const nn::MakeActivation& a) { return nn::lenet5(a, Rng(1)); }, {28, 28, 1});
             }),
             "given 'conv9: float', expected a layer of this network");
}
