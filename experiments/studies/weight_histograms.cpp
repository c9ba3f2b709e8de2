// How do float and quantized weights evolve under each method?
//   weight_histograms --data data --methods binary_connect,binary_relax,prox_quant --epochs 20
// One training of each method's weights, with float activations, from one float net. After each epoch: how
// the float weights of each layer are distributed, how what the network computes with is, how far apart the
// two are, and how many weights have changed their sign. Finished trainings are kept in FILE.h5.cells.
#include <algorithm>
#include <cstdio>

#include "core/base/check.h"
#include "experiments/studies/weight_snapshot.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/comparison.h"
#include "quant/method.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : ComparisonSettings {
  std::vector<std::string> methods{"binary_connect", "bcgd", "binary_relax", "prox_quant", "twn"};
  int schedule_epochs = 200;
};

void declare(Args& args, Settings& s) {
  s.start_from_mnist();
  s.optim.epochs = 20;
  declare_start(args, s);
  args.add("methods", s.methods, "methods by which the weights are trained", quant::method_names());
  args.add("schedule-epochs", s.schedule_epochs,
           "epochs that the relaxations' schedules are meant for; they are compressed to --epochs", {1, 100000});
  declare(args, s.optim);
}

const std::vector<Column> kSizes{
    {"float_rms", "1", "root mean square of the float weights"},
    {"used_rms", "1", "root mean square of the weights that the network computes with"},
    {"distance", "1", "smallest |w - c x|^2 / |w|^2 over c of float weights w and used ones x"},
    {"flips", "1", "share of float weights on the other side of zero than at the start"}};

// A row of a cell: layer, epoch, the sizes, the shares of the float weights, those of the used ones.
constexpr std::size_t kFirstSize = 2, kFirstShare = 6;

std::vector<double> row_of(double layer, double epoch, const WeightSnapshot& s) {
  std::vector<double> row{layer, epoch, s.float_rms, s.used_rms, s.distance, s.flips};
  row.insert(row.end(), s.float_share.begin(), s.float_share.end());
  row.insert(row.end(), s.used_share.begin(), s.used_share.end());
  return row;
}

// Rows of the layers that `rule`, which may be null, quantizes; they are numbered among all layers.
CellRows rows_of(quant::WeightRule* rule, nn::Module& start, double epoch) {
  CellRows rows;
  if (!rule) return rows;
  const std::vector<Tensor> used = rule->relaxed();
  std::size_t i = 0;
  double layer = -1;
  for (const auto& [name, first] : start.named_parameters()) {
    if (first->value.shape().rank() < 2) continue;
    ++layer;
    if (i == used.size() || rule->weights()[i].name != name) continue;
    rows.push_back(row_of(layer, epoch, snapshot_of(rule->weights()[i].weight->value, used[i], first->value)));
    ++i;
  }
  return rows;
}

std::vector<std::string> weight_names(nn::Module& net) {
  std::vector<std::string> names;
  for (const auto& [name, p] : net.named_parameters())
    if (p->value.shape().rank() >= 2) names.push_back(name.substr(0, name.rfind('.')));
  return names;
}

// The method with float activations, the schedule of its relaxation stretched.
quant::Method weights_of(const Settings& s, const std::string& name, double stretch) {
  quant::Method m = quant::method(name);
  m.activations = float_method(s.float_net).activations;
  AnyOptions& relaxation = m.relaxation.options;
  if (relaxation.has("every")) relaxation.set("every", std::get<double>(relaxation.get("every")) * stretch);
  return m;
}

CellRows run_cell(const Settings& s, const Args& args, const SplitData& data, const Sweep& sweep,
                  const std::string& method) {
  const auto file = sweep.network("float");
  const auto network = network_maker(s.net, *data.train, args.seed(), file);
  const auto start = network(nn::relu_activation());
  CellPlan plan;
  plan.name = method;
  plan.seed = args.seed();
  plan.optim = s.optim;
  plan.net = s.net;
  plan.method = weights_of(s, method, static_cast<double>(s.optim.epochs) / s.schedule_epochs);
  if (!plan.method.optimizer.empty()) plan.optim.optimizer = plan.method.optimizer;
  plan.augmentation = augmentation_of(s.data);
  plan.judge_train = TrainerOptions::JudgeTrain::never;
  plan.after_epoch = [&](Trainer& trainer, nn::Module&) {
    for (auto& row : rows_of(trainer.rule(), *start, trainer.results().back().epoch)) trainer.note(std::move(row));
    if (trainer.finished()) trainer.note({-1, trainer.results().back().test["accuracy"]});
  };
  return train_cell(sweep, plan, data, network, args.quiet(),
                    [](StagedTraining& training) { return training.trainer().notes(); });
}

struct Tables {
  Table sizes, histograms;

  Tables(RunLog& log, const Settings& s, const std::vector<std::string>& layers)
      : sizes(log.table("sizes", columns(s, layers, kSizes))),
        histograms(log.table("histograms",
                             columns(s, layers,
                                     {{"centre", "1", "centre of a bin, in root mean squares"},
                                      {"float_share", "1", "share of the float weights in the bin"},
                                      {"used_share", "1", "share of the weights that the network computes with"}}))) {}

  void add(double method, const std::vector<double>& row) const {
    std::vector<double> values{method, row[0], row[1]};
    values.insert(values.end(), row.begin() + kFirstSize, row.begin() + kFirstShare);
    sizes.add(values);
    for (int bin = 0; bin < WeightSnapshot::kBins; ++bin) {
      const std::size_t at = kFirstShare + static_cast<std::size_t>(bin);
      histograms.add({method, row[0], row[1], WeightSnapshot::centre(bin), row[at], row[at + WeightSnapshot::kBins]});
    }
  }

 private:
  static std::vector<Column> columns(const Settings& s, const std::vector<std::string>& layers,
                                     const std::vector<Column>& more) {
    std::vector<Column> all{{"method", "1", "method of the training", s.methods},
                            {"layer", "1", "layer of the weights", layers},
                            {"epoch", "1", "epochs of the training"}};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

void run_all(const Settings& s, const Args& args, RunLog& log) {
  const SplitData data = load_data(s, args);
  const Sweep sweep(cells_folder(args.out()), cell_settings(args, {"methods"}));
  const Tables tables(log, s, weight_names(*make_net(s.net, nn::relu_activation(), *data.train, args.seed())));
  log.start();
  float_rows(sweep, s.float_net, s.net, s.data, data, s.optim.batch, args);
  TextTable text({"method", "test %", "distance", "flips %"});
  for (std::size_t i = 0; i < s.methods.size(); ++i) {
    const CellRows rows = run_cell(s, args, data, sweep, s.methods[i]);
    double distance = 0, flips = 0, layers = 0;
    for (const auto& row : rows) {
      if (row[0] < 0) continue;
      tables.add(static_cast<double>(i), row);
      if (row[1] != s.optim.epochs) continue;
      distance += row[4];
      flips += 100 * row[5];
      ++layers;
    }
    text.row(s.methods[i], 100 * rows.back()[1], distance / layers, flips / layers);
  }
  std::printf("%smeans over the layers, after the last epoch\n", text.str().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("weight_histograms", "How do float and quantized weights evolve under each method?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { run_all(s, args, log); });
}
