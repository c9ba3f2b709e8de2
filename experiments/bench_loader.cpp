// Does the loader keep the threads that compute fed, and what does it take from them?
//   bench_loader --batch 128 --step 70 --threads 2
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/random.h"
#include "datasets/loader.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/support/timing.h"

using namespace coarsegrad;
using datasets::Augmentation, datasets::DataLoader, datasets::Dataset;
using experiments::number, experiments::Timing;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// As large as CIFAR's training set, so that images come from memory and not from a cache.
Dataset random_images(std::int64_t count, std::uint64_t seed) {
  Dataset data{"random", {32, 32, 3}, 10, {{0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}}, {}, {}};
  std::vector<std::uint32_t> words(static_cast<std::size_t>(count) * 3072 / 4);
  Rng(seed).split("pixels").bits(words.data(), words.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(words.data());
  data.pixels.assign(bytes, bytes + 4 * words.size());
  data.labels.assign(static_cast<std::size_t>(count), 0);
  return data;
}

/// Arithmetic that keeps all threads busy: `rounds` of it, cut finely, as the ops of a training step are.
void compute(std::int64_t rounds) {
  parallel_for(64, [rounds](std::int64_t task) {
    volatile double sink = static_cast<double>(task);
    double x = sink;
    for (std::int64_t i = 0; i < rounds; ++i) x = x * 0.999 + 1;
    sink = x;
  });
}

std::int64_t rounds_for(double seconds) {
  std::int64_t rounds = 1000;
  while (true) {
    const auto start = Clock::now();
    compute(rounds);
    const double took = seconds_since(start);
    if (took > seconds / 4) return static_cast<std::int64_t>(static_cast<double>(rounds) * seconds / took);
    rounds *= 2;
  }
}

struct Fed {
  double wait, step;  // seconds per batch: in next(), and altogether
};

/// `steps` steps of `rounds`, each with a batch of `loader`, or without any.
Fed feed(DataLoader* loader, std::int64_t rounds, int steps) {
  if (loader) loader->next();
  double waited = 0;
  const auto start = Clock::now();
  for (int i = 0; i < steps; ++i) {
    compute(rounds);
    const auto before = Clock::now();
    if (loader) loader->next();
    waited += seconds_since(before);
  }
  return {waited / steps, seconds_since(start) / steps};
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
  int batch = 128, images = 50000, steps = 40;
  double step_ms = 70;
  experiments::Args args("bench_loader",
                         "Time that batches of 32 x 32 x 3 images take, and make a step wait.");
  args.add("batch", batch, "images in a batch", {1, 4096});
  args.add("images", images, "images in the data set", {4096, 1000000});
  args.add("step", step_ms, "length of the step that the loader has to keep up with, in ms", {0.1, 10000});
  args.add("steps", steps, "steps measured", {1, 100000});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    std::vector<std::string> names;
    for (const Kind& kind : kKinds) names.push_back(kind.name);
    const auto results = log.table("loader", {{"kind", "1", "what is done to the images", names},
                                              {"batch", "s", "one batch on one thread, median of 15 samples"},
                                              {"wait", "s", "wait for a batch at the end of a step, mean"},
                                              {"step", "s", "a step with the loader beside it, mean"},
                                              {"alone", "s", "the same step without a loader, mean"}});
    log.start();
    const Dataset data = random_images(images, args.seed());
    const std::int64_t rounds = rounds_for(step_ms * 1e-3);
    std::printf("batch %d, %d images, %d threads, %d steps of %.4g ms\n", batch, images, args.threads(),
                steps, step_ms);
    experiments::TextTable table({"", "batch, ms", "spread %", "wait, ms", "wait, % of step", "slower, %"});
    for (std::size_t i = 0; i < names.size(); ++i) {
      experiments::check_stop();
      DataLoader direct(data, {.batch_size = batch, .prefetch = 0, .augmentation = kKinds[i].augmentation});
      DataLoader ahead(data, {.batch_size = batch, .augmentation = kKinds[i].augmentation});
      direct.next();  // the order of the epoch is made here
      const Timing t = experiments::time_of([&] { direct.next(); });
      const Fed fed = feed(&ahead, rounds, steps), alone = feed(nullptr, rounds, steps);
      results.add({static_cast<double>(i), t.median, fed.wait, fed.step, alone.step});
      table.row(names[i], number(t.median * 1e3, 3), number(t.spread_percent(), 2), number(fed.wait * 1e3, 2),
                number(100 * fed.wait / fed.step, 2), number(100 * (fed.step / alone.step - 1), 2));
    }
    std::fputs(table.str().c_str(), stdout);
  });
}
