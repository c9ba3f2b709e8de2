// Which method quantizes best? Every method of the field from one float net, with one budget of epochs, at
// the bits of its own paper and at those that all are given.
//   compare_methods --dataset mnist --net lenet5 --epochs 10 --seeds 3 --out results/compare_methods_mnist.h5
//   compare_methods --dataset cifar10 --net resnet20 --width 4 --methods dorefa,telcnn,lsq --bits 2
// Methods share data, float net, learning rate and its schedule, unless --rate-factors and --decays choose rate and
// decay for each of them; their own are the parts (quant/method.h) and the shape of their schedules, which are
// stretched to the budget. One in stages divides the budget among them. The float net trained on as long is what they
// are measured against. Before the trainings a step of each is timed, all in turn, which says something on a machine
// that does nothing else. Finished cells and the checkpoint of the one under way are kept in FILE.h5.cells; the same
// command goes on where it was broken off.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "experiments/studies/method_variants.h"
#include "experiments/studies/step_time.h"
#include "experiments/support/output_name.h"
#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/training/comparison.h"
#include "experiments/training/rate_search.h"
#include "quant/method.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : VariantSettings {
  int seeds = 3, speed_rounds = 3;
  RateSearchSettings search;
};

void declare(Args& args, Settings& s) {
  s.methods = quant::method_names();
  std::erase(s.methods, "float");
  s.start_from_mnist();
  declare_start(args, s);
  args.add("methods", s.methods, "rows of the table of methods", s.methods);
  args.add("bits", s.bits, "bits that each method is given where it has them; 0: none but its own", {0, 8});
  args.add("own-bits", s.own_bits, "each method at the bits of its own paper, too");
  args.add("layers", s.layers, "layers that are quantized; own: as each paper has it, else the same for all methods",
           {"own", "all", "not_last", "inner"});
  args.add("seeds", s.seeds, "runs per method and bits: seeds 1 to this", {1, 1000});
  declare_float_control(args, s);
  args.add("speed-rounds", s.speed_rounds, "rounds in which a few steps of every variant are timed; 0: none", {0, 100});
  declare(args, s.optim);
  declare(args, s.search);
  const auto with_bop = [&s] { return std::ranges::find(s.methods, "bop") != s.methods.end(); };
  args.add("bop-lr", s.bop_lr, "learning rate of adam, which moves what bop does not", {0, 100});
  args.add_need({"bop-lr"}, "methods", "without bop in --methods", with_bop);
}

// The rows that every comparison has, and behind them the bytes and the stages of the network in the end.
CellRows rows_of(StagedTraining& training) {
  CellRows rows = epoch_rows(training);
  const auto bytes = static_cast<double>(training.deployed().bytes);
  for (auto& row : rows) row.insert(row.end(), {bytes, static_cast<double>(training.stages().size())});
  return rows;
}

class MethodComparison {
 public:
  MethodComparison(const Settings& s, const Args& args, RunLog& log)
      : s_(s),
        args_(args),
        log_(log),
        data_(load_data(s, args)),
        comparison_(args, log, keys(s),
                    {{"deployed_bytes", "B", "parameters of the network as it is deployed, packed"},
                     {"stages", "1", "stages that divide the epochs"},
                     {"images_per_second", "1/s", "images that steps of the last stage take in: median of the rounds"},
                     {"slowest", "1/s", "images_per_second of the slowest round"},
                     {"fastest", "1/s", "images_per_second of the fastest round"},
                     {"lr", "1", "largest learning rate"},
                     {"weight_decay", "1", "weight decay"}}),
        search_(log, s.search, keys(s), data_),
        sweep_(cells_folder(args.out()),
               cell_settings(args, {"methods", "bits", "own-bits", "seeds", "speed-rounds", "float-control",
                                    "rate-factors", "decays", "search-epochs"})),
        variants_(variants_of(s)) {}

  void run() {
    log_.start();
    comparison_.add_float(float_rows(sweep_, s_.float_net, s_.net, s_.data, data_, s_.optim.batch, args_));
    const std::vector<std::vector<double>> speeds = images_per_second();
    const std::vector<CellPlan> plans = tuned();
    for (int seed = 1; seed <= s_.seeds; ++seed)
      for (std::size_t v = 0; v < variants_.size(); ++v) {
        CellPlan plan = plans[v];
        plan.seed = static_cast<std::uint64_t>(seed);
        plan.name = cat(plan.name, "-seed", seed);
        CellRows rows = train_cell(sweep_, plan, data_, from_float(), args_.quiet(), rows_of);
        for (auto& row : rows) {
          row.insert(row.end(), speeds[v].begin(), speeds[v].end());
          row.insert(row.end(), {plan.optim.lr, plan.optim.weight_decay});
        }
        comparison_.add(variants_[v].key(), seed, rows, epochs_on_the_way(plan));
      }
    std::printf("%s", comparison_.report().c_str());
  }

 private:
  static std::vector<Column> keys(const Settings& s) {
    std::vector<std::string> labels = s.methods;
    labels.emplace_back(kFloatControl);
    return {{"method", "1", "row of the table of methods, or the float control", labels},
            {"weight_bits", "bit", "bits of the weights; 0: float"},
            {"activation_bits", "bit", "bits of the activations; 0: float"}};
  }

  // The plans of all variants, without seeds, each with its rate and decay.
  std::vector<CellPlan> tuned() const {
    std::vector<CellPlan> plans;
    for (const Variant& v : variants_)
      plans.push_back(search_.tuned(sweep_, v.key(), plan_of(s_, v, s_.optim.epochs),
                                    plan_of(s_, v, std::max(1, s_.search.epochs)), data_, from_float(), args_.quiet()));
    return plans;
  }

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
        seconds[v].push_back(step_seconds(plan_of(s_, variants_[v], s_.optim.epochs)));
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
  const RateSearch search_;
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
