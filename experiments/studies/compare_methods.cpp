// Which method quantizes best? Every method of the field from one float net, with one budget of epochs, at
// the bits of its own paper and at those that all are given.
//   compare_methods --dataset mnist --net lenet5 --epochs 10 --seeds 3 --out results/compare_methods_mnist.h5
//   compare_methods --dataset cifar10 --net resnet20 --width 4 --methods dorefa,telcnn,lsq --bits 2
// Methods share data, float net, learning rate and its schedule; their own are the parts (quant/method.h) and
// the shape of their schedules, which are stretched to the budget. One in stages divides the budget among
// them. Before the trainings a step of each is timed, all in turn, which says something on a machine that
// does nothing else. Finished cells and the checkpoint of the one under way are kept in FILE.h5.cells; the
// same command goes on where it was broken off.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/check.h"
#include "experiments/studies/step_time.h"
#include "experiments/support/output_name.h"
#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/training/comparison.h"
#include "quant/layers.h"
#include "quant/method.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : ComparisonSettings {
  std::vector<std::string> methods = quant::method_names();
  std::vector<int> bits{1, 2};
  std::string layers = "not_last";
  bool own_bits = true;
  int seeds = 3, speed_rounds = 3;
  double bop_lr = 1e-3;
};

void declare(Args& args, Settings& s) {
  std::erase(s.methods, "float");
  s.start_from_mnist();
  declare_start(args, s);
  args.add("methods", s.methods, "rows of the table of methods", s.methods);
  args.add("bits", s.bits, "bits that each method is given where it has them; 0: none but its own", {0, 8});
  args.add("own-bits", s.own_bits, "each method at the bits of its own paper, too");
  args.add("layers", s.layers, "layers that are quantized; own: as each paper has it, else the same for all methods",
           {"own", "all", "not_last", "inner"});
  args.add("seeds", s.seeds, "runs per method and bits: seeds 1 to this", {1, 1000});
  args.add("speed-rounds", s.speed_rounds, "rounds in which a few steps of every variant are timed; 0: none", {0, 100});
  declare(args, s.optim);
  const auto with_bop = [&s] { return std::ranges::find(s.methods, "bop") != s.methods.end(); };
  args.add("bop-lr", s.bop_lr, "learning rate of adam, which moves what bop does not", {0, 100});
  args.add_need({"bop-lr"}, "methods", "without bop in --methods", with_bop);
}

using Bits = std::pair<int, int>;  // of weights and activations; 0: float

// Whether the parts of a method have these bits.
bool has(const quant::Method& m, const Bits& bits) {
  try {
    check_parts(with_bits(m, {bits.first, bits.second}));
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

// The bits that a method is trained at, in ascending order.
std::vector<Bits> bits_of(const quant::Method& m, const Settings& s) {
  std::vector<Bits> all;
  const Bits own{target(m).weight_bits, target(m).activation_bits};
  if (s.own_bits) {
    all = m.bits;
    all.push_back(own);
  }
  for (const int b : s.bits)
    if (b > 0) all.emplace_back(own.first > 0 ? b : 0, own.second > 0 ? b : 0);
  std::erase_if(all, [&](const Bits& bits) { return bits == Bits{0, 0} || !has(m, bits); });
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// A row of the results: a method, by its number in Settings, at some bits.
struct Variant {
  std::size_t method;
  Bits bits;

  std::vector<double> key() const {
    return {static_cast<double>(method), static_cast<double>(bits.first), static_cast<double>(bits.second)};
  }
};

std::vector<Variant> variants_of(const Settings& s) {
  check_usage(s.bits.size() == 1 || std::ranges::count(s.bits, 0) == 0,
              "--bits: given 0 beside other bits, expected either");
  std::vector<Variant> all;
  for (std::size_t i = 0; i < s.methods.size(); ++i)
    for (const Bits& bits : bits_of(quant::method(s.methods[i]), s)) all.push_back({i, bits});
  return all;
}

// What a method wants of gradients behind the first and the last layer stays its own.
std::vector<std::string> gradient_exceptions(const quant::Method& m) {
  const quant::LayerExceptions own(m.layers);
  std::vector<std::string> lines;
  if (!own.gradients({.first = true})) lines.emplace_back("first: gradients=float");
  if (!own.gradients({.last = true})) lines.emplace_back("last: gradients=float");
  return lines;
}

// The method at these bits, with the layers that all are given, and its schedules stretched to the budget.
quant::Method method_at(const Settings& s, const quant::Method& row, const Bits& bits) {
  quant::Method m = with_bits(row, {bits.first, bits.second});
  m.two_stage = row.two_stage;
  m.progressive = row.progressive;
  if (s.layers != "own") {
    m.layers = gradient_exceptions(row);
    if (s.layers == "inner") m.layers.push_back("first: weights=float");
    if (s.layers != "all") m.layers.push_back("last: weights=float");
  }
  if (m.epochs > 0) m.relaxation.options.set("every", static_cast<double>(s.optim.epochs) / m.epochs);
  return m;
}

CellPlan plan_of(const Settings& s, const Variant& variant, int seed) {
  const std::string& method = s.methods[variant.method];
  const Bits& bits = variant.bits;
  CellPlan plan;
  plan.seed = static_cast<std::uint64_t>(seed);
  plan.name = cat(method, "-", bits.first, "w", bits.second, "a-seed", seed);
  plan.optim = s.optim;
  plan.net = s.net;
  plan.method = method_at(s, quant::method(method), bits);
  if (!plan.method.optimizer.empty()) plan.optim.optimizer = plan.method.optimizer;
  plan.optim.epochs = std::max(1, s.optim.epochs / static_cast<int>(stages(plan.method).size()));
  if (plan.method.update.name == "bop") plan.optim.lr = s.bop_lr;
  plan.augmentation = augmentation_of(s.data);
  plan.may_diverge = true;
  return plan;
}

// The rows that every comparison has, and behind them the bytes and the stages of the network in the end.
CellRows rows_of(StagedTraining& training) {
  CellRows rows = epoch_rows(training);
  const auto bytes = static_cast<double>(training.deployed().bytes);
  for (auto& row : rows) row.insert(row.end(), {bytes, static_cast<double>(training.stages().size())});
  return rows;
}

// The number of stages in rows of rows_of(), which may come from the file of a cell.
std::size_t stages_in(const CellRows& rows) {
  const double stages = rows.empty() || rows.back().empty() ? 0 : rows.back().back();
  check(stages >= 1 && stages <= 1000, "compare_methods: given a cell of ", stages, " stages, expected 1 to 1000");
  return static_cast<std::size_t>(stages);
}

class MethodComparison {
 public:
  MethodComparison(const Settings& s, const Args& args, RunLog& log)
      : s_(s),
        args_(args),
        log_(log),
        data_(load_data(s, args)),
        comparison_(args, log,
                    {{"method", "1", "row of the table of methods", s.methods},
                     {"weight_bits", "bit", "bits of the weights; 0: float"},
                     {"activation_bits", "bit", "bits of the activations; 0: float"}},
                    {{"deployed_bytes", "B", "parameters of the network as it is deployed, packed"},
                     {"stages", "1", "stages that divide the epochs"},
                     {"images_per_second", "1/s", "images that steps of the last stage take in: median of the rounds"},
                     {"slowest", "1/s", "images_per_second of the slowest round"},
                     {"fastest", "1/s", "images_per_second of the fastest round"}}),
        sweep_(cells_folder(args.out()), cell_settings(args, {"methods", "bits", "own-bits", "seeds", "speed-rounds"})),
        variants_(variants_of(s)) {}

  void run() {
    log_.start();
    comparison_.add_float(float_rows(sweep_, s_.float_net, s_.net, s_.data, data_, s_.optim.batch, args_));
    const std::vector<std::vector<double>> speeds = images_per_second();
    for (int seed = 1; seed <= s_.seeds; ++seed)
      for (std::size_t v = 0; v < variants_.size(); ++v) {
        const CellPlan plan = plan_of(s_, variants_[v], seed);
        CellRows rows = train_cell(sweep_, plan, data_, from_float(), args_.quiet(), rows_of);
        const std::size_t before_last = stages_in(rows) - 1;
        for (auto& row : rows) row.insert(row.end(), speeds[v].begin(), speeds[v].end());
        comparison_.add(variants_[v].key(), seed, rows, before_last * static_cast<std::size_t>(plan.optim.epochs));
      }
    std::printf("%s", comparison_.report().c_str());
  }

 private:
  quant::MakeNetwork from_float() const {
    return network_maker(s_.net, *data_.train, args_.seed(), sweep_.network("float"));
  }

  double step_seconds(const CellPlan& plan) const {
    try {
      return step_time({plan.method, plan.optim, plan.augmentation, plan.seed, {}}, data_, from_float(), 20).median;
    } catch (const Diverged&) {
      return std::nan("");
    }
  }

  // For each variant median, slowest and fastest round; NaN without rounds.
  std::vector<std::vector<double>> images_per_second() const {
    const double none = std::nan("");
    if (s_.speed_rounds == 0) return {variants_.size(), {none, none, none}};
    std::vector<std::vector<double>> seconds(variants_.size());
    ProgressBar progress("speed", static_cast<std::int64_t>(variants_.size()) * s_.speed_rounds, args_.quiet());
    for (std::int64_t round = 0, done = 0; round < s_.speed_rounds; ++round)
      for (std::size_t v = 0; v < variants_.size(); ++v) {
        seconds[v].push_back(step_seconds(plan_of(s_, variants_[v], 1)));
        progress.update(++done);
      }
    std::vector<std::vector<double>> speeds;
    for (const auto& rounds : seconds) {
      const Timing t = timing_of(rounds);
      speeds.push_back({s_.optim.batch / t.median, s_.optim.batch / t.max, s_.optim.batch / t.min});
    }
    return speeds;
  }

  const Settings& s_;
  const Args& args_;
  RunLog& log_;
  const SplitData data_;
  Comparison comparison_;
  const Sweep sweep_;
  const std::vector<Variant> variants_;
};

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("compare_methods", "Which method quantizes a network best, at which bits, and at what cost?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { MethodComparison(s, args, log).run(); });
}
