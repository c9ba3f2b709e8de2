#include "experiments/training/train_program.h"

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "experiments/support/file_place.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/checkpoint.h"
#include "experiments/training/network_file.h"
#include "experiments/training/staged.h"

namespace coarsegrad::experiments {
namespace {

struct Settings {
  DataSettings data;
  NetSettings net;
  quant::Method method;
  OptimSettings optim;
  KeepSettings keep;
  std::string init;
  double average_decay = 0;
  int norm_batches = 0;
};

void declare(Args& args, Settings& s) {
  declare(args, s.data);
  declare(args, s.optim);
  declare(args, s.net);
  declare(args, s.method);
  args.add("init", s.init, "tensor file with the network that the training starts from; empty: random weights");
  args.add("average-decay", s.average_decay,
           "decay of the moving average of the weights that is judged in their place; 0: no average", {0, 0.999999});
  args.add("norm-batches", s.norm_batches,
           "batches that norm statistics are estimated from before judging; 0: those of the training", {0, 100000});
  declare(args, s.keep);
}

constexpr const char* kCheckpoint = ".checkpoint";
constexpr const char *kBest = ".best.safetensors", *kLast = ".last.safetensors", *kPartner = ".partner.safetensors";

/// The files beside the log are written at the end, or after an hour: what is in their way is found out now.
void check_outputs(const Settings& s, const Args& args) {
  check_out(args.out(), {kCheckpoint, kBest, kLast, kPartner});
  const std::string checkpoint = beside(args.out(), kCheckpoint);
  check_place(checkpoint);
  const bool goes_on = std::filesystem::exists(checkpoint);  // then it says whose training this is
  for (const char* network : {kBest, kLast, kPartner}) {
    if (network == kPartner && s.method.guidance.guide == "none") continue;
    if (goes_on)
      check_place(beside(args.out(), network));
    else
      check_replaceable(beside(args.out(), network), config_digest(result_config(args)));
  }
}

// What the files of the network say of it.
Metadata about(const Settings& s, const SplitData& data) {
  Metadata entries = metadata_of({s.net, s.method, classes_of(*data.train), pixels_of(*data.train)}, data.split);
  entries["method"] = s.method.name;
  return entries;
}

TrainingPlan plan_of(const Settings& s, const SplitData& data, const Args& args) {
  TrainingPlan plan{s.method, s.optim, augmentation_of(s.data), args.seed(), {}};
  TrainerOptions& o = plan.options;
  o.label = s.net.net;
  o.config = result_config(args);
  o.judge_train = TrainerOptions::JudgeTrain::at_the_end;
  o.average_decay = s.average_decay;
  o.norm_batches = s.norm_batches;
  o.checkpoint = beside(args.out(), kCheckpoint);
  o.about = about(s, data);
  o.save_steps = s.keep.save_steps;
  o.save_minutes = s.keep.save_minutes;
  o.quiet = args.quiet();
  return plan;
}

// Keeps the networks with their accuracies, and prints the table.
void report(StagedTraining& training, const Settings& s, const SplitData& data, const Args& args) {
  Trainer& trainer = training.trainer();
  const std::string digest = config_digest(result_config(args));
  TextTable table({"network", "epoch", "training loss", "held out %", "test %"});
  const auto keep = [&](const char* name, const char* ending, const EpochResult& r, const nn::StateDict& state) {
    table.row(name, static_cast<int>(r.epoch), r.loss, 100 * r.held_out["accuracy"], 100 * r.test["accuracy"]);
    Metadata entries = about(s, data);
    entries.merge(measured(r.test["accuracy"]));
    entries[kTrainingKey] = digest;
    entries["epoch"] = std::to_string(static_cast<int>(r.epoch));
    save_network(beside(args.out(), ending), state, entries);
  };
  keep("best", kBest, trainer.best(), trainer.best_network());
  keep("last", kLast, trainer.results().back(), trainer.judged_network());
  if (nn::Module* partner = training.partner()) {
    const Evaluation held_out = evaluate(*partner, *data.held_out), test = evaluate(*partner, *data.test);
    table.row("float partner", static_cast<int>(trainer.results().back().epoch), std::nan(""), 100 * held_out.accuracy,
              100 * test.accuracy);
    Metadata entries = metadata_of({s.net, {}, classes_of(*data.train), pixels_of(*data.train)}, data.split);
    entries.merge(measured(test.accuracy));
    entries[kTrainingKey] = digest;
    save_network(beside(args.out(), kPartner), partner->state_dict(), entries);
  }
  std::printf("%s%s minutes of training\n", table.str().c_str(), number(trainer.seconds() / 60).c_str());
}

void train(const Settings& s, const Args& args, RunLog& log) {
  check_outputs(s, args);
  SplitData data = load_data(s.data, args.seed());
  if (!s.init.empty()) go_on_with(s.init, data.split);
  std::printf("trains %s; %s\n", s.net.net.c_str(), words(s.method).c_str());
  StagedTraining training(plan_of(s, data, args), data, network_maker(s.net, *data.train, args.seed(), s.init));
  const Series loss = log.series("loss", "1", "cross entropy of the batch, training mode");
  const Series rate = log.series("learning_rate", "1", "learning rate of the step");
  const Table epochs = log.table("epochs", EpochResult::columns(training.task()));
  if (training.restore())
    log.resume(training.trainer().log_position());
  else
    log.start();
  training.run({.step =
                    [&](std::int64_t step, double lr, double value) {
                      loss.add(step, value);
                      rate.add(step, lr);
                    },
                .epoch = [&](const EpochResult& result) { epochs.add(result.row()); },
                .sync_log = [&] { return log.position(); }});
  report(training, s, data, args);
}

}  // namespace

int train_program(int argc, const char* const* argv) {
  Settings s;
  Args args("train", "Trains a network, float or quantized; goes on where it was broken off.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { train(s, args, log); });
}

}  // namespace coarsegrad::experiments
