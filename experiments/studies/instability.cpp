#include "experiments/studies/instability.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "experiments/studies/diagnostics.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_file.h"
#include "quant/activations/uniform.h"
#include "quant/assembly.h"
#include "quant/math/surrogate.h"

namespace coarsegrad::experiments {
namespace {

constexpr const char* kLongest = "identity";  // whose steps the control's are as long as

double length(std::span<const Real> values) {
  double squares = 0;
  for (const Real v : values) squares += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(squares);
}

// The loss curve and what was found after each epoch, in the order of the steps: rows as those of epoch_rows(), with
// the step in place of the epoch. A training that diverged ends with NaN.
CellRows curve(StagedTraining& training) {
  const Trainer& trainer = training.trainer();
  const double none = std::nan("");
  CellRows rows;
  for (const auto& p : trainer.loss_curve()) rows.push_back({p[0], p[1], none, none, none});
  for (const EpochResult& r : trainer.results())
    rows.push_back({r.epoch * static_cast<double>(trainer.steps_per_epoch()), none, r.held_out["accuracy"],
                    r.test["accuracy"], r.train["loss"]});
  std::ranges::stable_sort(rows, {}, [](const auto& row) { return row.front(); });
  if (!trainer.finished()) rows.push_back({static_cast<double>(trainer.steps_taken()), none, none, none, none});
  return rows;
}

std::vector<std::string> with_control(std::vector<std::string> ste, const std::string& from) {
  ste.push_back(from + "_equal_length");
  return ste;
}

}  // namespace

quant::Method quantized(const std::string& ste, int bits) {
  return {.activations = {"uniform", quant::UniformOptions{.bits = bits, .surrogate = ste}}};
}

std::string variant_name(const std::string& ste, int bits) { return cat(ste, "-", bits, "bit"); }

GradientLengths gradient_lengths(const CellPlan& plan, const SplitData& data, const quant::MakeNetwork& make,
                                 int batches) {
  const FlushDenormals flush;
  const auto net = quant::make_network(plan.method, make, image_of(*data.train));
  std::vector<Parameter*> weights;
  const std::vector<std::string> names = layer_names(*net, image_of(*data.train));
  for (const std::string& layer : names)
    for (const auto& [name, module] : net->named_modules())
      if (name == layer) weights.push_back(module->weight_parameter());
  Classification task({.label_smoothing = plan.optim.label_smoothing});
  datasets::DataLoader loader(
      *data.train,
      {.batch_size = plan.optim.batch, .drop_last = true, .seed = plan.seed, .augmentation = plan.augmentation});
  GradientLengths mean{0, std::vector<double>(weights.size())};
  for (int batch = 0; batch < batches; ++batch) {
    check_stop();
    for (Parameter* p : net->parameters()) p->zero_grad();
    task.loss(*net, loader.next()).backward();
    double squares = 0;
    for (Parameter* p : net->parameters()) squares += std::pow(length(p->grad().view()), 2);
    mean.whole += std::sqrt(squares) / batches;
    for (std::size_t i = 0; i < weights.size(); ++i) mean.layers[i] += length(weights[i]->grad().view()) / batches;
  }
  return mean;
}

void declare(Args& args, InstabilitySettings& s) {
  args.add("instability", s.epochs,
           "epochs for which each STE goes on, at a tiny rate, from the net that another one has found; 0: none",
           {0, 10000});
  args.add("instability-from", s.from, "STE that has found the nets that --instability goes on from",
           surrogate_names());
  args.add("instability-nets", s.nets, "files of these nets, one for each of --bits; empty: those of seed 1");
  args.add("instability-lr", s.lr, "learning rate of --instability, constant", {0, 10});
  args.add("instability-seeds", s.seeds, "runs of --instability for each STE and bits: seeds 1 to this", {1, 1000});
  args.add("instability-batches", s.batches,
           "batches that the lengths of gradients at the start are means over, by which the control's rate is set",
           {1, 100000});
  args.add("loss-window", s.loss_window, "steps of --instability that a point of the loss curve is the mean of",
           {1, 1000000});
  args.add_need({"instability-from", "instability-nets", "instability-lr", "instability-seeds", "instability-batches",
                 "loss-window"},
                "instability", "without --instability", [&s] { return s.epochs > 0; });
}

void check_nets(const InstabilitySettings& s, const std::vector<int>& bits) {
  if (s.nets.empty()) return;
  check_usage(s.nets.size() == bits.size(), "instability-nets: given ", s.nets.size(),
              ", expected one for each of the ", bits.size(), " --bits");
  for (std::size_t k = 0; k < bits.size(); ++k) {
    const auto about = settings_in(read_tensor_file(s.nets[k]), s.nets[k]);
    const Part expected = quantized(s.from, bits[k]).activations;
    check_usage(!about || about->method.activations == expected, "instability-nets: given ", s.nets[k], " with ",
                about ? quant::words(about->method.activations, quant::activations()) : "", ", expected ",
                quant::words(expected, quant::activations()));
  }
}

quant::MakeNetwork InstabilityPlan::network(std::size_t k, const SplitData& data) const {
  return network_maker(training.net, *data.train, seed, starts.at(k));
}

Instability::Instability(RunLog& log, const InstabilitySettings& s, const std::vector<std::string>& ste,
                         std::vector<std::string> layers)
    : s_(s),
      labels_(with_control(ste, s.from)),
      table_(
          log.table("instability", {{"ste", "1", "straight-through estimator from here on, or the control", labels_},
                                    {"bits", "bit", "bits of the activations"},
                                    {"seed", "1", "seed of the training"},
                                    {"lr", "1", "learning rate"},
                                    {"step", "1", "steps since the start"},
                                    {"loss", "1", "mean cross entropy of the batches of the last steps, training mode"},
                                    {"held_out_accuracy", "1", "share right of the held-out images"},
                                    {"test_accuracy", "1", "share right of the test images"},
                                    {"train_loss", "1", "cross entropy of all images trained on, evaluation mode"}})),
      lengths_(log.table("instability_lengths", {{"bits", "bit", "bits of the activations"},
                                                 {"layer", "1", "layer, or the whole network",
                                                  [&layers] {
                                                    layers.insert(layers.begin(), "network");
                                                    return layers;
                                                  }()},
                                                 {"identity", "1", "mean length of the identity's coarse gradient"},
                                                 {"own", "1", "that of the STE which has found the net"},
                                                 {"ratio", "1", "identity / own"}})) {
  check_usage(s.epochs == 0 || std::ranges::find(ste, s.from) != ste.end(), "instability-from: given ", s.from,
              ", expected one of --ste");
}

double Instability::length_ratio(const InstabilityPlan& plan, std::size_t k, const SplitData& data,
                                 const Sweep& sweep) const {
  const CellRows rows =
      sweep.cell(cat("instability-lengths-", s_.batches, "-from-", variant_name(s_.from, plan.bits[k])), [&] {
        const auto lengths = [&](const std::string& ste) {
          CellPlan measured = plan.training;
          measured.method = quantized(ste, plan.bits[k]);
          return gradient_lengths(measured, data, plan.network(k, data), s_.batches);
        };
        const GradientLengths longest = lengths(kLongest), own = lengths(s_.from);
        CellRows all{{longest.whole, own.whole}};
        for (std::size_t i = 0; i < own.layers.size(); ++i) all.push_back({longest.layers[i], own.layers[i]});
        return all;
      });
  for (std::size_t i = 0; i < rows.size(); ++i)
    lengths_.add({static_cast<double>(plan.bits[k]), static_cast<double>(i), rows[i].at(0), rows[i].at(1),
                  rows[i].at(0) / rows[i].at(1)});
  const double ratio = rows.at(0).at(0) / rows.at(0).at(1);
  check(std::isfinite(ratio), "instability: given coarse gradients of lengths ", rows.at(0).at(0), " and ",
        rows.at(0).at(1), ", expected two that have one");
  return ratio;
}

std::vector<Instability::Continued> Instability::continued(const InstabilityPlan& plan, std::size_t k,
                                                           const SplitData& data, const Sweep& sweep) const {
  std::vector<Continued> all;
  const std::size_t control = labels_.size() - 1;
  for (std::size_t i = 0; i < control; ++i) all.push_back({i, labels_[i], s_.lr});
  if (s_.from != kLongest && std::ranges::find(labels_, kLongest) != labels_.end())
    all.push_back({control, s_.from, s_.lr * length_ratio(plan, k, data, sweep)});
  return all;
}

// What the network at the minimum is like: all estimators share its forward pass.
CellRows Instability::start(const InstabilityPlan& plan, std::size_t k, const SplitData& data,
                            const Sweep& sweep) const {
  const std::string name = variant_name(s_.from, plan.bits[k]);
  return sweep.cell(cat("instability-from-", name, "-start"), [&] {
    const auto net =
        quant::make_network(quantized(s_.from, plan.bits[k]), plan.network(k, data), image_of(*data.train));
    return CellRows{{0, std::nan(""), evaluate(*net, *data.held_out).accuracy, evaluate(*net, *data.test).accuracy,
                     evaluate(*net, *data.train).loss}};
  });
}

CellRows Instability::train(const InstabilityPlan& plan, std::size_t k, const Continued& c, int seed,
                            const SplitData& data, const Sweep& sweep, bool quiet) const {
  CellPlan cell = plan.training;
  cell.name = cat("instability-", s_.epochs, "x", c.lr, "-from-", s_.from, "-",
                  variant_name(labels_[c.label], plan.bits[k]), "-seed", seed);
  cell.method = quantized(c.ste, plan.bits[k]);
  cell.seed = static_cast<std::uint64_t>(seed);
  cell.loss_window = s_.loss_window;
  cell.judge_train = TrainerOptions::JudgeTrain::always;
  cell.may_diverge = true;
  cell.optim.epochs = s_.epochs;
  cell.optim.lr = c.lr;
  cell.optim.schedule = "constant";
  cell.optim.warmup_epochs = 0;
  return train_cell(sweep, cell, data, plan.network(k, data), quiet, curve);
}

std::string Instability::run(const InstabilityPlan& plan, const SplitData& data, const Sweep& sweep, bool quiet) const {
  TextTable text({"bits", "goes on with", "rate", "runs", "training loss", "test %"});
  for (std::size_t k = 0; k < plan.bits.size(); ++k) {
    const CellRows before = start(plan, k, data, sweep);
    text.row(plan.bits[k], cat("(", s_.from, ")"), "-", "-", before.front().at(kTrainLoss),
             100 * before.front().at(kTest));
    for (const Continued& c : continued(plan, k, data, sweep)) {
      std::vector<double> loss, test;
      for (int seed = 1; seed <= s_.seeds; ++seed) {
        const CellRows after = train(plan, k, c, seed, data, sweep, quiet);
        for (const CellRows* rows : {&before, &after})
          for (const auto& row : *rows) {
            std::vector<double> values{static_cast<double>(c.label), static_cast<double>(plan.bits[k]),
                                       static_cast<double>(seed), c.lr};
            values.insert(values.end(), row.begin(), row.end());
            table_.add(values);
          }
        loss.push_back(after.empty() ? std::nan("") : after.back().at(kTrainLoss));
        test.push_back(after.empty() ? std::nan("") : after.back().at(kTest));
      }
      text.row(plan.bits[k], labels_[c.label], c.lr, s_.seeds, plus_minus(mean_deviation(loss)),
               plus_minus(mean_deviation(test), 100));
    }
  }
  return cat(text.str(), "from the net of ", s_.from, " (its own line), after ", s_.epochs,
             " epochs; mean +- half width of the 95 % interval over the runs, by Student's t (one run: none)\n");
}

}  // namespace coarsegrad::experiments
