// Which straight-through estimator trains a deep network with quantized activations best, and does it stay at
// the minimum that another one has found?
//   ste_cifar10 --data data --bits 2,4 --seeds 1 --epochs 10 --instability 5 --out results/ste_cifar10.h5
// One float net (trained here, or given by --float-net), then one fine-tuning run per (STE, bits, seed) from
// it. Finished cells and the checkpoint of the one under way are kept in FILE.h5.cells; the same command goes
// on where it was broken off. After Yin, Lyu, Zhang, Osher, Qi, Xin, ICLR 2019 (arXiv 1903.05662), section 4.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/check.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/training/comparison.h"
#include "quant/activations/uniform.h"
#include "quant/assembly.h"
#include "quant/math/surrogate.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : ComparisonSettings {
  std::vector<std::string> ste{"identity", "relu", "clipped_relu"};
  std::vector<int> bits{2, 4};
  int seeds = 1, instability = 0, loss_window = 25;
  double instability_lr = 1e-5;
  std::string instability_from = "clipped_relu";
};

void declare(Args& args, Settings& s) {
  declare_start(args, s);
  args.add("ste", s.ste, "straight-through estimators", surrogate_names());
  args.add("bits", s.bits, "bits of the activations", {1, 8});
  args.add("seeds", s.seeds, "fine-tuning runs per (STE, bits): seeds 1 to this", {1, 1000});
  declare(args, s.optim);
  args.add("instability", s.instability,
           "epochs for which each STE goes on from the net of another, with the last of --bits; 0: none", {0, 10000});
  args.add("instability-from", s.instability_from, "STE whose net, seed 1, --instability goes on from",
           surrogate_names());
  args.add("instability-lr", s.instability_lr, "learning rate of --instability", {0, 10});
  args.add("loss-window", s.loss_window, "steps of --instability that a point of the loss curve is the mean of",
           {1, 1000000});
  args.add_need({"instability-from", "instability-lr", "loss-window"}, "instability", "without --instability",
                [&s] { return s.instability > 0; });
}

quant::Method quantized(const std::string& ste, int bits) {
  return {.activations = {"uniform", quant::UniformOptions{.bits = bits, .surrogate = ste}}};
}

std::string name(const std::string& ste, int bits) { return cat(ste, "-", bits, "bit"); }

// Where each STE leads from the minimum that one of them has found.
class Instability {
 public:
  Instability(RunLog& log, const Settings& s)
      : s_(s),
        table_(log.table("instability",
                         {{"ste", "1", "straight-through estimator from here on", s.ste},
                          {"bits", "bit", "bits of the activations"},
                          {"step", "1", "steps since the start"},
                          {"loss", "1", "mean cross entropy of the batches of the last steps, training mode"},
                          {"held_out_accuracy", "1", "share right of the held-out images"},
                          {"test_accuracy", "1", "share right of the test images"},
                          {"train_loss", "1", "cross entropy of all images trained on, evaluation mode"}})) {}

  void run(const SplitData& data, const Sweep& sweep, const Args& args) const {
    const int bits = s_.bits.back();
    const auto from = sweep.network(cat(name(s_.instability_from, bits), "-seed1.last"));
    for (std::size_t i = 0; i < s_.ste.size(); ++i) {
      const quant::Method method = quantized(s_.ste[i], bits);
      const auto start = network_maker(s_.net, *data.train, args.seed(), from);
      const std::string cell = cat("instability-", s_.instability, "x", s_.instability_lr, "-from-",
                                   s_.instability_from, "-", name(s_.ste[i], bits));
      const CellRows before = sweep.cell(cell + "-start", [&] {
        const auto net = quant::make_network(method, start, image_of(*data.train));
        return CellRows{{0, std::nan(""), evaluate(*net, *data.held_out).accuracy, evaluate(*net, *data.test).accuracy,
                         evaluate(*net, *data.train).loss}};
      });
      CellPlan plan;
      plan.name = cell;
      plan.net = s_.net;
      plan.method = method;
      plan.optim = s_.optim;
      plan.augmentation = augmentation_of(s_.data);
      plan.loss_window = s_.loss_window;
      plan.judge_train = TrainerOptions::JudgeTrain::always;
      plan.may_diverge = true;
      plan.optim.epochs = s_.instability;
      plan.optim.lr = s_.instability_lr;
      plan.optim.schedule = "constant";
      plan.optim.warmup_epochs = 0;
      const CellRows after = train_cell(sweep, plan, data, start, args.quiet(), curve);
      for (const CellRows* rows : {&before, &after})
        for (const auto& row : *rows) {
          std::vector<double> values{static_cast<double>(i), static_cast<double>(bits)};
          values.insert(values.end(), row.begin(), row.end());
          table_.add(values);
        }
      std::printf("%s from %s at rate %g: training loss %g, after %d epochs %g\n", name(s_.ste[i], bits).c_str(),
                  s_.instability_from.c_str(), s_.instability_lr, before.front()[kLast], s_.instability,
                  after.empty() ? std::nan("") : after.back()[kLast]);
    }
  }

 private:
  static constexpr std::size_t kLast = 4;  // train_loss

  // The loss curve and what was found after each epoch, in the order of the steps.
  static CellRows curve(StagedTraining& training) {
    const Trainer& trainer = training.trainer();
    const double none = std::nan("");
    CellRows rows;
    for (const auto& p : trainer.loss_curve()) rows.push_back({p[0], p[1], none, none, none});
    for (const EpochResult& r : trainer.results())
      rows.push_back({r.epoch * static_cast<double>(trainer.steps_per_epoch()), none, r.held_out["accuracy"],
                      r.test["accuracy"], r.train["loss"]});
    std::ranges::stable_sort(rows, {}, [](const auto& row) { return row.front(); });
    return rows;
  }

  const Settings& s_;
  Table table_;
};

void compare(const Settings& s, const Args& args, RunLog& log) {
  check_usage(s.instability == 0 || std::ranges::find(s.ste, s.instability_from) != s.ste.end(),
              "instability-from: given ", s.instability_from, ", expected one of --ste");
  const SplitData data = load_data(s, args);
  Comparison comparison(
      args, log, {{"ste", "1", "straight-through estimator", s.ste}, {"bits", "bit", "bits of the activations"}});
  const Instability instability(log, s);
  const Sweep sweep(cells_folder(args.out()),
                    cell_settings(args, {"ste", "bits", "seeds", "instability", "instability-lr", "loss-window"}));
  log.start();
  comparison.add_float(float_rows(sweep, s.float_net, s.net, s.data, data, s.optim.batch, args));
  for (int seed = 1; seed <= s.seeds; ++seed)
    for (const int bits : s.bits)
      for (std::size_t i = 0; i < s.ste.size(); ++i) {
        CellPlan plan;
        plan.name = cat(name(s.ste[i], bits), "-seed", seed);
        plan.net = s.net;
        plan.method = quantized(s.ste[i], bits);
        plan.seed = static_cast<std::uint64_t>(seed);
        plan.optim = s.optim;
        plan.augmentation = augmentation_of(s.data);
        plan.may_diverge = true;
        const auto start = network_maker(s.net, *data.train, args.seed(), sweep.network("float"));
        comparison.add({static_cast<double>(i), static_cast<double>(bits)}, seed,
                       train_cell(sweep, plan, data, start, args.quiet()));
      }
  std::printf("%s", comparison.report().c_str());
  if (s.instability > 0) instability.run(data, sweep, args);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("ste_cifar10", "Which straight-through estimator trains a deep quantized network best?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { compare(s, args, log); });
}
