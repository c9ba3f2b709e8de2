// Which straight-through estimator trains a deep network with quantized activations best, and does it stay at
// the minimum that another one has found?
//   ste_cifar10 --data data --bits 2,4 --seeds 3 --epochs 10 --instability 5 --out results/ste_cifar10.h5
// One float net (trained here, or given by --float-net), then one fine-tuning run per (STE, bits, seed) from
// it, and one of the float net itself; --rate-factors and --decays choose rate and decay for each of them. Finished
// cells and the checkpoint of the one under way are kept in FILE.h5.cells; the same command goes on where it was broken
// off. After Yin, Lyu, Zhang, Osher, Qi, Xin, ICLR 2019 (arXiv 1903.05662), section 4.
#include <cstdio>

#include "core/base/check.h"
#include "experiments/studies/diagnostics.h"
#include "experiments/studies/instability.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/training/comparison.h"
#include "experiments/training/network_file.h"
#include "experiments/training/rate_search.h"
#include "quant/assembly.h"
#include "quant/math/surrogate.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : ComparisonSettings {
  std::vector<std::string> ste{"identity", "relu", "clipped_relu"};
  std::vector<int> bits{2, 4};
  int seeds = 1;
  RateSearchSettings search;
  InstabilitySettings instability;
};

void declare(Args& args, Settings& s) {
  declare_start(args, s);
  args.add("ste", s.ste, "straight-through estimators", surrogate_names());
  args.add("bits", s.bits, "bits of the activations", {1, 8});
  args.add("seeds", s.seeds, "fine-tuning runs per (STE, bits): seeds 1 to this; 0: none, with --instability-nets",
           {0, 1000});
  declare_float_control(args, s);
  declare(args, s.optim);
  declare(args, s.search);
  declare(args, s.instability);
}

// A row of the results: an estimator, by its number in Settings, at some bits; the float control is behind the last.
struct Variant {
  std::size_t ste;
  int bits;

  std::vector<double> key() const { return {static_cast<double>(ste), static_cast<double>(bits)}; }
};

std::vector<Variant> variants_of(const Settings& s) {
  std::vector<Variant> all;
  for (const int bits : s.bits)
    for (std::size_t i = 0; i < s.ste.size(); ++i) all.push_back({i, bits});
  if (s.float_control) all.push_back({s.ste.size(), 0});
  return all;
}

// The training of a variant, by as many epochs.
CellPlan plan_of(const Settings& s, const Variant& variant, int epochs) {
  CellPlan plan = float_control(s);
  plan.optim.epochs = epochs;
  if (variant.ste == s.ste.size()) return plan;
  plan.name = variant_name(s.ste[variant.ste], variant.bits);
  plan.method = quantized(s.ste[variant.ste], variant.bits);
  return plan;
}

class SteComparison {
 public:
  SteComparison(const Settings& s, const Args& args, RunLog& log)
      : s_(s),
        args_(args),
        log_(log),
        data_(load(s, args)),
        comparison_(args, log, keys(s), {{"lr", "1", "largest learning rate"}, {"weight_decay", "1", "weight decay"}}),
        search_(log, s.search, keys(s), data_),
        instability_(log, s.instability, s.ste,
                     layer_names(*make_net(s.net, nn::relu_activation(), *data_.train, 1), image_of(*data_.train))),
        sweep_(cells_folder(args.out()),
               cell_settings(args, {"ste", "bits", "seeds", "float-control", "rate-factors", "decays", "search-epochs",
                                    "instability", "instability-lr", "instability-seeds", "instability-batches",
                                    "loss-window"})) {}

  void run() {
    log_.start();
    std::vector<std::filesystem::path> minima(s_.instability.nets.begin(), s_.instability.nets.end());
    if (s_.seeds > 0) {
      const std::vector<CellPlan> plans = compare();
      if (minima.empty()) minima = nets_of(plans);
    }
    if (s_.instability.epochs == 0) return;
    const InstabilityPlan plan{s_.bits, minima, float_control(s_), args_.seed()};
    std::printf("%s", instability_.run(plan, data_, sweep_, args_.quiet()).c_str());
  }

 private:
  static std::vector<Column> keys(const Settings& s) {
    std::vector<std::string> labels = s.ste;
    labels.emplace_back(kFloatControl);
    return {{"ste", "1", "straight-through estimator, or the float control", labels},
            {"bits", "bit", "bits of the activations; 0: float"}};
  }

  static SplitData load(const Settings& s, const Args& args) {
    check_usage(s.seeds > 0 || (s.instability.epochs > 0 && !s.instability.nets.empty()),
                "seeds: given 0, expected more, or --instability from --instability-nets");
    check_nets(s.instability, s.bits);
    SplitData data = load_data(s, args);
    for (const std::string& file : s.instability.nets) go_on_with(file, data.split);
    return data;
  }

  // Trains all variants, and returns their plans, without seeds.
  std::vector<CellPlan> compare() {
    comparison_.add_float(float_rows(sweep_, s_.float_net, s_.net, s_.data, data_, s_.optim.batch, args_));
    const std::vector<Variant> variants = variants_of(s_);
    const auto start = network_maker(s_.net, *data_.train, args_.seed(), sweep_.network("float"));
    std::vector<CellPlan> plans;
    for (const Variant& v : variants)
      plans.push_back(search_.tuned(sweep_, v.key(), plan_of(s_, v, s_.optim.epochs), plan_of(s_, v, s_.search.epochs),
                                    data_, start, args_.quiet()));
    for (int seed = 1; seed <= s_.seeds; ++seed)
      for (std::size_t v = 0; v < variants.size(); ++v) {
        CellPlan plan = plans[v];
        plan.seed = static_cast<std::uint64_t>(seed);
        plan.name = cat(plan.name, "-seed", seed);
        CellRows rows = train_cell(sweep_, plan, data_, start, args_.quiet());
        for (auto& row : rows) row.insert(row.end(), {plan.optim.lr, plan.optim.weight_decay});
        comparison_.add(variants[v].key(), seed, rows);
      }
    std::printf("%s", comparison_.report().c_str());
    return plans;
  }

  // The networks of seed 1 by the estimator that --instability starts from, one for each of the bits.
  std::vector<std::filesystem::path> nets_of(const std::vector<CellPlan>& plans) const {
    std::vector<std::filesystem::path> files;
    const std::vector<Variant> variants = variants_of(s_);
    for (std::size_t v = 0; v < variants.size(); ++v)
      if (variants[v].ste < s_.ste.size() && s_.ste[variants[v].ste] == s_.instability.from)
        files.push_back(sweep_.network(plans[v].name + "-seed1.last"));
    return files;
  }

  const Settings& s_;
  const Args& args_;
  RunLog& log_;
  const SplitData data_;
  Comparison comparison_;
  const RateSearch search_;
  const Instability instability_;
  const Sweep sweep_;
};

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("ste_cifar10", "Which straight-through estimator trains a deep quantized network best?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { SteComparison(s, args, log).run(); });
}
