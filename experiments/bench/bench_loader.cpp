// Does the loader keep the threads that compute fed, and what does it take from them?
//   bench_loader --net resnet20 --batch 128 --threads 2
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "core/ops.h"
#include "datasets/images.h"
#include "datasets/loader.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/support/timing.h"
#include "nn/networks.h"
#include "optim/sgd.h"

using namespace coarsegrad;
using datasets::Augmentation, datasets::DataLoader, datasets::ImageDataset;
using experiments::number, experiments::Timing;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// As large as CIFAR's training set, so that images come from memory and not from a cache.
ImageDataset random_images(std::int64_t count, std::uint64_t seed) {
  ImageDataset data{"random", {32, 32, 3}, 10, {{0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}}, {}, {}};
  std::vector<std::uint32_t> words(static_cast<std::size_t>(count) * 3072 / 4);
  Rng(seed).split("pixels").bits(words.data(), words.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(words.data());
  data.pixels.assign(bytes, bytes + 4 * words.size());
  data.labels.assign(static_cast<std::size_t>(count), 0);
  return data;
}

/// A network in training.
class Consumer {
 public:
  Consumer(const std::string& net, const Rng& rng)
      : net_(nn::make_network(net, nn::relu_activation(), rng)),
        optimizer_(net_->parameters(), {.lr = 1e-3, .momentum = 0.9}) {}

  void step(const datasets::Batch& batch) {
    const Var loss = cross_entropy((*net_)(batch["image"]), batch["label"]);
    optimizer_.zero_grad();
    loss.backward();
    optimizer_.step();
  }

 private:
  std::unique_ptr<nn::Module> net_;
  optim::Sgd optimizer_;
};

struct Fed {
  double wait, step;  // seconds per batch: in next(), and altogether
};

/// `steps` steps, each with the next batch of `loader`.
Fed feed(Consumer& consumer, DataLoader& loader, int steps) {
  consumer.step(loader.next());
  double waited = 0;
  const auto start = Clock::now();
  for (int i = 0; i < steps; ++i) {
    const auto before = Clock::now();
    const datasets::Batch& batch = loader.next();
    waited += seconds_since(before);
    consumer.step(batch);
  }
  return {waited / steps, seconds_since(start) / steps};
}

/// The length of a step that has its batch already.
double step_alone(Consumer& consumer, const datasets::Batch& batch, int steps) {
  consumer.step(batch);
  const auto start = Clock::now();
  for (int i = 0; i < steps; ++i) consumer.step(batch);
  return seconds_since(start) / steps;
}

struct Kind {
  const char* name;
  Augmentation augmentation;
};
constexpr Kind kKinds[] = {{"normalisation", {}},
                           {"crop, flip", datasets::kCropAndFlip},
                           {"crop, flip, cutout", {.pad = 4, .flip = true, .cutout = 16}}};

}  // namespace

int main(int argc, char** argv) {
  std::string net = "resnet20";
  int batch = 128, images = 50000, steps = 40;
  experiments::Args args("bench_loader",
                         "Time that batches of 32 x 32 x 3 images take, and make a training step wait.");
  args.add("net", net, "network that is trained", nn::network_names());
  args.add("batch", batch, "images in a batch", {1, 4096});
  args.add("images", images, "images in the data set", {4096, 1000000});
  args.add("steps", steps, "steps measured", {1, 100000});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    check_usage(nn::network_input(net) == Shape{32, 32, 3}, "net: given ", net,
                ", expected one for 32 x 32 x 3 images");
    std::vector<std::string> names;
    for (const Kind& kind : kKinds) names.emplace_back(kind.name);
    const auto results = log.table("loader", {{"kind", "1", "what is done to the images", names},
                                              {"batch", "s", "one batch on one thread, median of 15 samples"},
                                              {"wait", "s", "wait for a batch before a step, mean"},
                                              {"step", "s", "a step with the loader beside it, mean"},
                                              {"alone", "s", "the same step on one and the same batch, mean"}});
    log.start();
    const ImageDataset data = random_images(images, args.seed());
    Consumer consumer(net, Rng(args.seed()).split("net"));
    std::printf("batch %d, %d images, %d threads, %d steps of %s\n", batch, images, args.threads(), steps, net.c_str());
    experiments::TextTable table(
        {"", "batch, ms", "spread %", "wait, ms", "step, ms", "wait, % of step", "slower than alone, %"});
    for (std::size_t i = 0; i < names.size(); ++i) {
      experiments::check_stop();
      DataLoader direct(data, {.batch_size = batch, .prefetch = 0, .augmentation = kKinds[i].augmentation});
      DataLoader ahead(data, {.batch_size = batch, .augmentation = kKinds[i].augmentation});
      const datasets::Batch& first = direct.next();  // the order of the epoch is made here
      const double alone = step_alone(consumer, first, steps);
      const Fed fed = feed(consumer, ahead, steps);
      const Timing t = experiments::time_of([&] { direct.next(); });
      results.add({static_cast<double>(i), t.median, fed.wait, fed.step, alone});
      table.row(names[i], number(t.median * 1e3, 3), number(t.spread_percent(), 2), number(fed.wait * 1e3, 2),
                number(fed.step * 1e3, 3), number(100 * fed.wait / fed.step, 2),
                number(100 * (fed.step / alone - 1), 2));
    }
    std::fputs(table.str().c_str(), stdout);
  });
}
