// Small trainings with power-of-two weights, on drawn digits, and the statistics behind quantizers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "experiments/training/classification.h"
#include "experiments/training/norm_statistics.h"
#include "nn/layers.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/math/power_of_two.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/power_coded.h"
#include "quant/weights/power_of_two.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

constexpr std::int64_t kImages = 2560, kTest = 2000, kBatch = 64;

/// Two convolutions with stride 2 and a dense layer, for 28 x 28 digits.
std::unique_ptr<nn::Sequential> digits_net(const nn::MakeActivation& act) {
  auto net = std::make_unique<nn::Sequential>();
  const Rng rng(4);
  net->add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 1, .out = 8, .stride = 2, .bias = false}, rng.split("1"));
  net->add<nn::BatchNorm>("norm1", 8);
  net->append("act1", act("act1"));
  net->add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 8, .out = 16, .stride = 2, .bias = false}, rng.split("2"));
  net->add<nn::BatchNorm>("norm2", 16);
  net->append("act2", act("act2"));
  net->add<nn::Flatten>("flatten");
  net->add<nn::Linear>("fc", 16 * 6 * 6, 10, rng.split("3"));
  return net;
}

struct Digits {
  datasets::ImageDataset train = datasets::drawn_digits(kImages, 3), test = datasets::drawn_digits(kTest, 3, 1);
};
const Digits& digits() {
  static const Digits d;
  return d;
}

/// Trains `net` along `rule` (null: float) with a learning rate that falls to 0; the schedules see all of it.
void train(nn::Module& net, quant::WeightRule* rule, int epochs, double lr) {
  datasets::DataLoader loader(digits().train, {.batch_size = kBatch, .drop_last = true, .seed = 5});
  optim::Sgd sgd(net.parameters(), {.lr = lr, .momentum = 0.9});
  quant::QuantizedOptimizer optimizer(sgd, net, {.weights = rule}, {loader.batches_per_epoch(), epochs});
  const std::int64_t steps = epochs * loader.batches_per_epoch();
  const auto rate = optim::cosine(lr, steps);
  std::int64_t step = 0;
  for (int epoch = 0; epoch < epochs; ++epoch)
    for (const auto& batch : loader.epoch(epoch)) {
      optimizer.lr = rate(step++);
      optimizer.zero_grad();
      cross_entropy(net(batch["image"]), batch["label"]).backward();
      optimizer.step();
    }
}

double accuracy(nn::Module& net) { return 100 * evaluate(net, digits().test).accuracy; }

/// A float net, trained once.
const nn::StateDict& float_net() {
  static const nn::StateDict state = [] {
    const auto net = digits_net(nn::relu_activation());
    train(*net, nullptr, 4, 0.1);
    return net->state_dict();
  }();
  return state;
}

struct Deployed {
  std::unique_ptr<nn::Sequential> net = digits_net(nn::relu_activation());
  std::unique_ptr<quant::WeightRule> rule;
  explicit Deployed(int bits) {
    net->load_state_dict(float_net());
    rule = std::make_unique<quant::WeightRule>(*net, Part{"power_of_two", quant::PowerOfTwoOptions{.bits = bits}});
    rule->deploy();
  }
};

}  // namespace

TEST_SUITE("paper-lbw-net") {
  TEST_CASE("paper-lbw-net 12.11: training ends in projections of its float weights, and more bits lose less" *
            doctest::test_suite("paper-lbw-net long")) {
    const auto float_reference = digits_net(nn::relu_activation());
    float_reference->load_state_dict(float_net());
    std::map<int, double> reached;
    const double reached_float = accuracy(*float_reference);
    for (const int bits : {2, 4, 6}) {
      Deployed start(bits);
      const double before = accuracy(*start.net);
      train(*start.net, start.rule.get(), 2, 0.02);
      start.rule->deploy();
      reached[bits] = accuracy(*start.net);
      MESSAGE(bits, " bits: ", before, " %, after training ", reached[bits], " %; float ", reached_float, " %");
      for (const auto& entry : start.rule->weights()) {
        const auto codes = quant::power_codes(entry.weight->effective);
        REQUIRE(codes);
        std::vector<std::int8_t> expected(codes->codes.size());
        const double scale = encode_powers_by_max<Real>(entry.weight->value.view(), bits, 0.75, expected.data());
        CHECK(std::ranges::equal(expected, codes->codes));
        CHECK(static_cast<double>(codes->scales[0]) == scale);
      }
    }
    CHECK(reached[4] >= reached[2] - 0.5);
    CHECK(reached[6] >= reached[4] - 0.5);
    CHECK(reached[6] >= reached_float - 1);
    CHECK(reached[2] >= 97);
  }
}

namespace {

/// The identity in training, signs in evaluation.
class HardInEvaluation : public quant::ActivationQuantizer {
 public:
  Var forward(const Var& x) override {
    if (training()) return x;
    Tensor signs(x.value().shape());
    std::ranges::transform(x.value().view(), signs.mutable_data(), [](Real v) { return Real(v < 0 ? -1 : 1); });
    return Var(signs);
  }
  int bits() const override { return 1; }
};

}  // namespace

TEST_CASE("norm statistics estimated anew are those behind hard quantizers, also where training is smooth") {
  nn::Sequential net;
  net.add<nn::Flatten>("flatten");
  net.add<HardInEvaluation>("act");
  auto& norm = net.add<nn::BatchNorm>("norm", 784);
  datasets::DataLoader loader(digits().train, {.batch_size = kBatch, .drop_last = true, .seed = 7});
  estimate_norm_statistics(
      net, [&](const datasets::Batch& batch) { net(batch["image"]); }, loader, 0, 1);
  int wrong = 0;
  for (std::int64_t i = 0; i < 784; ++i) {  // of values -1 and 1
    const auto mean = static_cast<double>(norm.running_mean[i]), var = static_cast<double>(norm.running_var[i]);
    wrong += std::abs(var - (1 - mean * mean) * kBatch / (kBatch - 1)) > 1e-5;
  }
  CHECK(wrong == 0);
  CHECK(net.training());
}
