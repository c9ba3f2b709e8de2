// How long do two cores take to 94 % on CIFAR-10? Trains a small network from nothing with several seeds and says how
// accurate it is and how many minutes that took: the time of the training alone, without loading and judging.
//   fast_cifar10 --config experiments/configs/coarsegrad/fast_cifar10_94.json --data data --out results/fast_cifar10.h5
//   fast_cifar10 --config ... --weights exact --weights.bits 1     binary weights in the same number of steps
// Finished seeds and the checkpoint of the one under way are kept in FILE.h5.cells; the same command goes on where it was
// broken off. After Jordan (arXiv 2404.00498): the network (fast_network.h), flips in turn, label smoothing, Nesterov's
// momentum with one cycle of the rate, a moving average of the weights, and a few views of each test image.
#include <cstdio>

#include "core/base/check.h"
#include "core/kernels/kernels.h"
#include "experiments/studies/fast_network.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/comparison.h"
#include "experiments/training/network_state.h"
#include "experiments/training/staged.h"
#include "experiments/training/statistics.h"
#include "experiments/training/sweep.h"
#include "quant/evaluation_scope.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  DataSettings data{.held_out = 0};
  quant::Method method;
  OptimSettings optim{.epochs = 10,
                      .batch = 512,
                      .lr = 0.75,
                      .momentum = 0.85,
                      .weight_decay = 1.3e-3,
                      .label_smoothing = 0.2,
                      .nesterov = true};
  KeepSettings keep;
  int seeds = 5, width = 64, moved = 2;
  double average_decay = 0.98, shift_rate = 64;
};

void declare(Args& args, Settings& s) {
  declare(args, s.data);
  declare_quantization(args, s.method);
  declare(args, s.optim);
  args.add("seeds", s.seeds, "runs: seeds 1 to this", {1, 1000});
  args.add("width", s.width, "channels of the first block; the later ones have four times as many", {1, 1024});
  args.add("moved", s.moved, "training images are moved by up to so many pixels each way", {0, 31});
  args.add("average-decay", s.average_decay, "decay of the moving average of the weights; 0: none", {0, 0.999999});
  args.add("shift-rate", s.shift_rate, "factor of the learning rate for the shifts of normalisations", {0, 1000});
  declare(args, s.keep);
}

// Images to train on and, to judge by hand at the end, none.
SplitData training_part(const SplitData& all) {
  SplitData some = all;
  some.held_out = some.test = std::make_shared<datasets::Subset>(all.test, std::vector<std::int64_t>{});
  return some;
}

// Accuracy by all views, minutes of training, loss at the end.
CellRows train_seed(const Settings& s, const Args& args, const SplitData& data, const Sweep& sweep, int seed) {
  const auto number = static_cast<std::uint64_t>(seed);
  const quant::MakeNetwork make = [&](const nn::MakeActivation& activation) {
    auto net = fast_network(activation, Rng(number).split("net"),
                            {.classes = classes_of(*data.train),
                             .first = s.width,
                             .later = std::int64_t{4} * s.width,
                             .shift_rate = s.shift_rate});
    whiten_first_layer(*net, *data.train);
    return net;
  };
  TrainingPlan plan{s.method, s.optim, {.pad = s.moved, .flip = true, .flip_in_turn = true}, number, {}};
  plan.options.label = cat("seed ", seed);
  plan.options.config = cell_settings(args, {"seeds"});
  plan.options.average_decay = s.average_decay;
  plan.options.checkpoint = sweep.checkpoint(cat("seed", seed));
  plan.options.save_steps = s.keep.save_steps;
  plan.options.save_minutes = s.keep.save_minutes;
  plan.options.quiet = args.quiet();
  const SplitData part = training_part(data);
  StagedTraining training(plan, part, make);
  training.restore();
  training.run();
  Trainer& trainer = training.trainer();
  const NetworkScope as_trained(training.net(), trainer.rule());
  load_state(training.net(), trainer.rule(), trainer.judged_network());
  const quant::EvaluationScope deployed(training.net(), trainer.rule());
  return {{evaluate(training.net(), *data.test).accuracy, trainer.seconds() / 60, trainer.results().back().loss}};
}

void measure(const Settings& s, const Args& args, RunLog& log) {
  const SplitData data = load_data(s.data, args.seed());
  const Sweep sweep(cells_folder(args.out()), cell_settings(args, {"seeds"}));
  const Table seeds = log.table("seeds", {{"seed", "1", "of the run"},
                                          {"test_accuracy", "1", "share of the test images that are right"},
                                          {"minutes", "min", "of training, without loading and judging"},
                                          {"loss", "1", "mean of the last epoch's batches"}});
  log.start();
  std::vector<double> accuracy, minutes;
  for (int seed = 1; seed <= s.seeds; ++seed) {
    const CellRows rows = sweep.cell(cat("seed", seed), [&] { return train_seed(s, args, data, sweep, seed); });
    seeds.add({static_cast<double>(seed), rows[0][0], rows[0][1], rows[0][2]});
    accuracy.push_back(rows[0][0]);
    minutes.push_back(rows[0][1]);
    std::printf("seed %d: %.2f %% in %.1f minutes\n", seed, 100 * rows[0][0], rows[0][1]);
  }
  std::printf("%s %% of the test images (mean of %d seeds, 95 %% interval of the mean), %s minutes each\n",
              plus_minus(mean_deviation(accuracy), 100).c_str(), s.seeds, plus_minus(mean_deviation(minutes)).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("fast_cifar10", "How long does a training from nothing take to 94 % on CIFAR-10?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { measure(s, args, log); });
}
