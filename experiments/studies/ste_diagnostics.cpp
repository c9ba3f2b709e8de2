// What is the coarse gradient of each layer like while a deep network trains with each straight-through
// estimator?
//   ste_diagnostics --data data --float-net results/resnet20_float.best.safetensors --bits 4 --epochs 10
// One training per (STE, bits) from one float net. After each epoch, for 256 training images as they are: the
// cosine between the layer's coarse gradient and that of the clipped ReLU at the same weights, its norm, the
// share of inputs in the active range, and every --every epochs the agreement with differences of the true
// loss along random directions. Finished trainings and the checkpoint of the one under way are kept in
// FILE.h5.cells.
#include <cmath>
#include <cstdio>

#include "core/base/check.h"
#include "experiments/studies/diagnostics.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/comparison.h"
#include "quant/activations/uniform.h"
#include "quant/math/surrogate.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : ComparisonSettings {
  std::vector<std::string> ste{"identity", "relu", "clipped_relu"};
  std::vector<int> bits{4};
  int probe = 256, every = 5;
  DiagnosticsOptions diagnostics;
};

void declare(Args& args, Settings& s) {
  declare_start(args, s);
  args.add("ste", s.ste, "straight-through estimators", surrogate_names());
  args.add("bits", s.bits, "bits of the activations", {1, 8});
  declare(args, s.optim);
  args.add("probe", s.probe, "training images that the gradients are taken of", {2, 100000});
  args.add("every", s.every, "epochs between two estimates of the direction of descent", {1, 100000});
  args.add("directions", s.diagnostics.directions, "random directions of an estimate of the descent; 0: none",
           {0, 10000});
  args.add("difference", s.diagnostics.step, "step along a direction, over the norm of the layer's weights",
           {1e-9, 10});
  args.add_need({"every", "difference"}, "directions", "without --directions",
                [&s] { return s.diagnostics.directions > 0; });
}

// A row of a cell: layer, epoch, then LayerDiagnostics.
void note(Trainer& trainer, const std::vector<LayerDiagnostics>& layers) {
  for (std::size_t i = 0; i < layers.size(); ++i)
    trainer.note({static_cast<double>(i), trainer.results().back().epoch, layers[i].cosine_to_reference,
                  layers[i].cosine_to_descent, layers[i].gradient_norm, layers[i].active_share});
}

quant::Method quantized(const std::string& ste, int bits) {
  return {.activations = {"uniform", quant::UniformOptions{.bits = bits, .surrogate = ste}}};
}

// A network with the clipped ReLU, which the others are compared with.
std::unique_ptr<nn::Module> reference_net(const Settings& s, const SplitData& data, const Args& args, int bits) {
  return make_net(s.net, make_activation(quantized("clipped_relu", bits)), *data.train, args.seed());
}

CellRows run_cell(const Settings& s, const Args& args, const SplitData& data, const Sweep& sweep,
                  const std::string& ste, int bits) {
  const SplitData::Samples probe = first_samples(data.train, s.probe);
  const auto reference = reference_net(s, data, args, bits);
  CellPlan plan;
  plan.name = cat(ste, "-", bits, "bit");
  plan.net = s.net;
  plan.method = quantized(ste, bits);
  plan.seed = args.seed();
  plan.optim = s.optim;
  plan.augmentation = augmentation_of(s.data);
  plan.judge_train = TrainerOptions::JudgeTrain::never;
  plan.may_diverge = true;
  plan.after_epoch = [&](Trainer& trainer, nn::Module& net) {
    const auto epoch = static_cast<std::int64_t>(trainer.results().back().epoch);
    DiagnosticsOptions options = s.diagnostics;
    if (epoch % s.every != 0) options.directions = 0;
    reference->load_state_dict(net.state_dict());
    note(trainer, diagnose(net, *reference, *probe, options, Rng(args.seed()).split("directions")));
  };
  return train_cell(sweep, plan, data, network_maker(s.net, *data.train, args.seed(), sweep.network("float")),
                    args.quiet(), [](StagedTraining& training) { return training.trainer().notes(); });
}

// Means over the layers, after the last epoch that has them.
std::vector<double> means(const CellRows& rows) {
  std::vector<double> out;
  for (std::size_t column = 2; column < 6; ++column) {
    double epoch = 0, sum = 0, count = 0;
    for (const auto& row : rows) {
      if (std::isnan(row[column])) continue;
      if (row[1] > epoch) epoch = row[1], sum = count = 0;
      sum += row[column];
      count += 1;
    }
    out.push_back(sum / count);
  }
  return out;
}

void run_all(const Settings& s, const Args& args, RunLog& log) {
  const SplitData data = load_data(s, args);
  const Sweep sweep(cells_folder(args.out()), cell_settings(args, {"ste", "bits"}));
  const auto example = reference_net(s, data, args, s.bits.front());
  const Table table =
      log.table("diagnostics",
                {{"ste", "1", "straight-through estimator", s.ste},
                 {"bits", "bit", "bits of the activations"},
                 {"layer", "1", "convolution or dense layer",
                  layer_names(*example, data.train->description().field("image").shape)},
                 {"epoch", "1", "epoch of the training"},
                 {"cosine_to_clipped", "1", "cosine of the coarse gradient and the clipped ReLU's"},
                 {"cosine_to_descent", "1", "cosine of what the coarse gradient says and of differences of the loss"},
                 {"gradient_norm", "1", "norm of the coarse gradient"},
                 {"active_share", "1", "share of the inputs of the activation in (0, K alpha]"}});
  log.start();
  float_rows(sweep, s.float_net, s.net, s.data, data, s.optim.batch, args);
  TextTable text({"bits", "STE", "cosine to clipped ReLU", "cosine to descent", "norm", "active share"});
  for (const int bits : s.bits)
    for (std::size_t i = 0; i < s.ste.size(); ++i) {
      const CellRows rows = run_cell(s, args, data, sweep, s.ste[i], bits);
      for (const auto& row : rows) {
        std::vector<double> values{static_cast<double>(i), static_cast<double>(bits)};
        values.insert(values.end(), row.begin(), row.end());
        table.add(values);
      }
      const std::vector<double> m = means(rows);
      text.row(bits, s.ste[i], m[0], m[1], m[2], m[3]);
    }
  std::printf("%smeans over the layers, after the last epoch\n", text.str().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("ste_diagnostics", "What is the coarse gradient of each layer like while a deep network trains?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { run_all(s, args, log); });
}
