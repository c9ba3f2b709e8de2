// Step 5: a data set and a task of one's own. Neither images nor classes: the loader, the trainer and its checkpoints know
// of none.
#include <cstdio>

#include "core/ops.h"
#include "experiments/training/trainer.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace coarsegrad;

// Samples of x -> (sum of x, x0 - x1), each drawn from its own number.
struct Sums : datasets::Dataset {
  datasets::Description description() const override { return {"sums", {{"x", {4}}, {"y", {2}}}}; }
  std::int64_t size() const override { return 400; }
  datasets::Sample sample(std::int64_t i) const override {
    Tensor x({4});
    Rng(7).split(static_cast<std::uint64_t>(i)).normal(x.mutable_data(), 4);
    datasets::Sample s;
    s.add("x", x);
    s.add("y", Tensor({2}, {x[0] + x[1] + x[2] + x[3], x[0] - x[1]}));
    return s;
  }
};

struct Regression : experiments::Task {
  Var loss(nn::Module& net, const datasets::Batch& b) override { return mse_loss(net(b["x"]), b["y"]); }
  std::vector<experiments::Column> metrics() const override { return {{"error", "1", "mean squared error"}}; }
  bool better(const experiments::Metrics& a, const experiments::Metrics& b) const override {
    return a["error"] < b["error"];
  }
  experiments::Metrics measure(nn::Module& net, const datasets::Dataset& data) override {
    double sum = 0;
    experiments::for_each_batch(net, data, [&](const auto& b) { sum += loss(net, b).item() * b["x"].size(0); });
    return {{"error", sum / static_cast<double>(data.size())}};
  }
};

int main() {
  const auto split = experiments::split(std::make_shared<Sums>(), std::make_shared<Sums>(), 100, 1);
  nn::Linear net(4, 2, Rng(1));
  Regression task;
  optim::Sgd sgd(net.parameters(), {.lr = 0.1});
  datasets::DataLoader loader(*split.train, {.batch_size = 20, .drop_last = true});
  experiments::Trainer trainer(net, task, sgd, loader, split, {.epochs = 5, .quiet = true});
  trainer.run({.epoch = [](const auto& r) { std::printf("epoch %.0f, error %.5f\n", r.epoch, r.held_out["error"]); }});
}
