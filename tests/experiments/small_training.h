#pragma once
// A training small enough to be run dozens of times, with everything in it that has a state: momentum,
// running statistics, a random stream, a moving average of the weights.
#include <algorithm>
#include <memory>

#include "datasets/synthetic.h"
#include "experiments/training/classification.h"
#include "experiments/training/trainer.h"
#include "nn/activation.h"
#include "nn/layers.h"
#include "optim/sgd.h"

namespace coarsegrad::tests {

using namespace coarsegrad::experiments;

inline bool same(const Tensor& a, const Tensor& b) {
  return a.defined() == b.defined() &&
         (!a.defined() || (a.shape() == b.shape() && std::ranges::equal(a.view(), b.view())));
}
inline bool same(const nn::StateDict& a, const nn::StateDict& b) {
  return std::ranges::equal(
      a, b, [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
}

inline std::unique_ptr<nn::Sequential> small_net(const Rng& rng) {
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Conv2d>("conv", nn::ConvOptions{.in = 1, .out = 4, .stride = 2}, rng.split("conv"));
  net->add<nn::BatchNorm>("norm", 4);
  net->add<nn::ReLU>("act");
  net->add<nn::Flatten>("flatten");
  net->add<nn::Dropout>("dropout", Real(0.2), rng.split("dropout"));
  net->add<nn::Linear>("fc", 4 * 3 * 3, 4, rng.split("fc"));
  return net;
}

inline SplitData small_data(std::int64_t held_out = 20) {
  const auto draw = [](std::int64_t count, std::uint64_t part) {
    return datasets::gaussian_classes(count, {8, 8, 1}, 4, 2, 7, part);
  };
  return split({draw(120, 0), draw(40, 1)}, held_out, 7);
}

/// Five steps of 20 images an epoch.
struct SmallTraining {
  static constexpr std::int64_t kStepsPerEpoch = 5, kEpochs = 3;

  const SplitData data;
  std::unique_ptr<nn::Sequential> net = small_net(Rng(5));
  Classification task{{.label_smoothing = 0.1}};
  datasets::DataLoader loader{*data.train, {.batch_size = 20, .drop_last = true, .seed = 3}};
  optim::Sgd optimizer{net->parameters(), {.lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3}};
  Trainer trainer;

  static TrainerOptions options(const std::filesystem::path& checkpoint = {}) {
    TrainerOptions o;
    o.config = R"({"lr":0.1})";
    o.epochs = kEpochs;
    o.rate = optim::cosine(0.1, kEpochs * kStepsPerEpoch);
    o.average_decay = 0.9;
    o.norm_batches = 2;
    o.judge_train = TrainerOptions::JudgeTrain::at_the_end;
    o.loss_window = 2;
    o.checkpoint = checkpoint;
    o.quiet = true;
    return o;
  }

  explicit SmallTraining(TrainerOptions o = options(), std::int64_t held_out = 20)
      : data(small_data(held_out)), trainer(*net, task, optimizer, loader, data, std::move(o)) {}
};

}  // namespace coarsegrad::tests
