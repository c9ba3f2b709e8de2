// Step 5: a data set and a task of one's own. Loader, trainer and checkpoints know of neither images nor classes.
#include <cstdio>

#include "experiments/training/trainer.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;
struct Line : datasets::Dataset {  // samples of x -> 2 x + 1, each made from its own number, at x from -1 to 1
  datasets::Description description() const override { return {"line", {{"x", {1}}, {"y", {1}}}}; }
  std::int64_t size() const override { return 400; }
  datasets::Sample sample(std::int64_t i) const override {
    datasets::Sample s;
    s.add("x", Tensor({1}, Real(i) / 200 - 1));
    s.add("y", Tensor({1}, Real(i) / 100 - 1));
    return s;
  }
};
struct Regression : Task {
  Var loss(nn::Module& net, const datasets::Batch& b) override { return mse_loss(net(b["x"]), b["y"]); }
  std::vector<Column> metrics() const override { return {{"error", "1", "mean squared error"}}; }
  bool better(const Metrics& a, const Metrics& b) const override { return a["error"] < b["error"]; }
  Metrics measure(nn::Module& net, const datasets::Dataset& data) override {
    double sum = 0;
    for_each_batch(net, data, [&](const auto& b) { sum += loss(net, b).item() * b["x"].size(0); });
    return {{"error", sum / static_cast<double>(data.size())}};
  }
};

int main() {
  const auto data = split(std::make_shared<Line>(), std::make_shared<Line>(), 100, 1);
  nn::Linear net(1, 1, Rng(1));
  Regression task;
  optim::Sgd sgd(net.parameters(), {.lr = 0.1});
  datasets::DataLoader loader(*data.train, {.batch_size = 20, .drop_last = true});
  Trainer trainer(net, task, sgd, loader, data, {.epochs = 5, .quiet = true});
  trainer.run({.epoch = [](const auto& r) { std::printf("epoch %.0f, error %.5f\n", r.epoch, r.held_out["error"]); }});
}
