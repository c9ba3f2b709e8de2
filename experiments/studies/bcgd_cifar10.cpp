// What does blending gain? Networks with quantized weights and activations, trained by blended coarse
// gradient descent and by BinaryConnect (rho = 0) from one float net, with the same budget.
//   bcgd_cifar10 --data data --float-net results/resnet20_float.best.safetensors --rho 0,1e-5 --epochs 10
// Finished cells and the checkpoint of the one under way are kept in FILE.h5.cells; the same command goes on
// where it was broken off. After Yin, Zhang, Lyu, Osher, Qi, Xin (arXiv 1808.05240).
#include <cstdio>

#include "core/base/check.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/training/comparison.h"
#include "quant/weights/relaxation.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings : ComparisonSettings {
  quant::Method method{.weights = {"exact"}, .activations = {"uniform"}};
  std::vector<double> rhos{0, 1e-5};
  int seeds = 1;
};

void declare(Args& args, Settings& s) {
  s.optim.lr = 0.05;
  declare(args, s.data);
  declare(args, s.net);
  declare(args, s.float_net);
  declare_quantization(args, s.method);
  args.add("rho", s.rhos, "rho, the share of the projection in each step; 0 is BinaryConnect", {0, 1});
  args.add_need({"rho"}, "weights", "without --weights", [&s] { return s.method.weights.name != "none"; });
  args.add("seeds", s.seeds, "runs per rho: seeds 1 to this", {1, 1000});
  declare(args, s.optim);
}

void compare(const Settings& s, const Args& args, RunLog& log) {
  const SplitData data = load_data(s, args);
  std::vector<std::string> rules;
  for (const double rho : s.rhos) rules.push_back(rho == 0 ? "binary_connect" : cat("bcgd_", rho));
  Comparison comparison(args, log,
                        {{"rule", "1", "BinaryConnect, or BCGD with its rho", rules},
                         {"weight_bits", "bit", "bits of the weights"},
                         {"activation_bits", "bit", "bits of the activations; 0: float"}});
  const Sweep sweep(cells_folder(args.out()), cell_settings(args, {"rho", "seeds"}));
  log.start();
  comparison.add_float(float_rows(sweep, s.float_net, s.net, s.data, data, s.optim.batch, args));
  for (int seed = 1; seed <= s.seeds; ++seed)
    for (std::size_t i = 0; i < s.rhos.size(); ++i) {
      CellPlan plan;
      plan.name = cat(rules[i], "-seed", seed);
      plan.seed = static_cast<std::uint64_t>(seed);
      plan.optim = s.optim;
      plan.net = s.net;
      plan.method = s.method;
      plan.augmentation = augmentation_of(s.data);
      plan.may_diverge = true;
      plan.method.relaxation = {"blend", quant::BlendOptions{.rho = s.rhos[i]}};
      const auto start = network_maker(s.net, *data.train, args.seed(), sweep.network("float"));
      const TrainingStage bits = target(plan.method);
      comparison.add(
          {static_cast<double>(i), static_cast<double>(bits.weight_bits), static_cast<double>(bits.activation_bits)},
          seed, train_cell(sweep, plan, data, start, args.quiet()));
    }
  std::printf("%s", comparison.report().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("bcgd_cifar10", "What does blending gain over BinaryConnect in a quantized network?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { compare(s, args, log); });
}
