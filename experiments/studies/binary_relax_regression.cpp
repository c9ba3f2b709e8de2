// What does the relaxation of BinaryRelax gain over BinaryConnect, where nothing else happens?
//   binary_relax_regression --seeds 200 --out results/binary_relax_regression.h5
// Least squares with quantized weights: gradient descent from the float solution by both methods, one
// problem for each seed. The path of the weights of the first seed is logged, too.
#include <cmath>
#include <cstdio>

#include "experiments/studies/regression.h"
#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "quant/weights/binary_relax.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  int seeds = 200, bits = 1;
  std::string projection = "binary";
  RegressionOptions problem;
  RegressionSchedule schedule;
  double strength = 1, growth = 1.02;
};

void declare(Args& args, Settings& s) {
  args.add("seeds", s.seeds, "problems: seeds 1 to this", {1, 1000000});
  args.add("rows", s.problem.rows, "rows of A", {1, 10000});
  args.add("columns", s.problem.columns, "columns of A, at most as many as rows", {1, 1000});
  args.add("noise", s.problem.noise, "standard deviation of b - A w*", {0, 1000});
  args.add("projection", s.projection, "projection of the float weights", quant::weight_projections().names());
  args.add("bits", s.bits, "bits of the weights", {1, 8});
  args.add("lr", s.schedule.lr, "learning rate of phase I", {0, 10});
  args.add("steps", s.schedule.steps, "steps of phase I", {1, 1000000});
  args.add("last-lr", s.schedule.last_lr, "learning rate of phase II", {0, 10});
  args.add("last-steps", s.schedule.last_steps, "steps of phase II", {1, 1000000});
  args.add("strength", s.strength, "lambda before the first step", {0, 1e6});
  args.add("growth", s.growth, "what lambda is multiplied by before each step of phase I", {1, 10});
}

const std::vector<std::string> kRules{"binary_connect", "binary_relax"};

Part relaxation(const Settings& s, std::size_t rule) {
  if (rule == 0) return {"none"};
  return {"relax",
          quant::BinaryRelaxOptions{
              .lambda = s.strength, .growth = s.growth, .hard_from = double(s.schedule.steps) / s.schedule.total()}};
}

struct Tables {
  Table runs, descent, path;

  explicit Tables(RunLog& log)
      : runs(log.table("runs", {{"seed", "1", "seed of the problem"},
                                {"rule", "1", "how quantized weights are trained", kRules},
                                {"first_loss", "1", "f of the quantized weights at the start"},
                                {"best_loss", "1", "smallest f of the quantized weights in phase II"},
                                {"last_loss", "1", "f of the quantized weights at the end"}})),
        descent(log.table("descent", {{"rule", "1", "of the first problem", kRules},
                                      {"step", "1", "updates made"},
                                      {"lambda", "1", "strength of the relaxation; infinite in phase II"},
                                      {"loss_used", "1", "f of the weights that gradients are taken at"},
                                      {"loss_quantized", "1", "f of the quantized weights"}})),
        path(log.table("path", {{"rule", "1", "of the first problem", kRules},
                                {"step", "1", "updates made"},
                                {"weight", "1", "number of the weight"},
                                {"value", "1", "the float weight"},
                                {"used", "1", "the weight that gradients are taken at"}})) {}

  void add(const Regression& problem, std::size_t rule, const RegressionState& state) const {
    const auto step = static_cast<double>(state.step), number = static_cast<double>(rule);
    descent.add({number, step, state.strength, problem.loss(state.effective), state.loss_quantized});
    for (std::int64_t i = 0; i < state.weight.numel(); ++i)
      path.add({number, step, static_cast<double>(i), state.weight[i], state.effective[i]});
  }
};

void run_all(const Settings& s, const Args& args, RunLog& log) {
  const Part projection = quant::weight_projections().part(s.projection).with("bits", s.bits);
  const Tables tables(log);
  log.start();
  double best[2] = {}, last[2] = {}, first = 0, wins = 0;
  ProgressBar progress("problems", s.seeds, args.quiet());
  for (int i = 0; i < s.seeds; ++i) {
    check_stop();
    const auto seed = args.seed() + static_cast<std::uint64_t>(i);
    const Regression problem(s.problem, Rng(seed));
    RegressionResult results[2];
    for (std::size_t rule = 0; rule < 2; ++rule) {
      const auto observe = [&](const RegressionState& state) { tables.add(problem, rule, state); };
      const RegressionResult& r = results[rule] =
          descend(problem, projection, relaxation(s, rule), s.schedule,
                  i == 0 ? observe : std::function<void(const RegressionState&)>());
      tables.runs.add({static_cast<double>(seed), static_cast<double>(rule), r.first, r.best, r.last});
      best[rule] += r.best / s.seeds;
      last[rule] += r.last / s.seeds;
    }
    first += results[0].first / s.seeds;
    wins += results[1].best < results[0].best;
    progress.update(i + 1);
  }
  TextTable table({"rule", "best loss in phase II", "loss at the end"});
  for (std::size_t rule = 0; rule < 2; ++rule) table.row(kRules[rule], best[rule], last[rule]);
  std::printf("%smeans of %d problems, %s at the start; BinaryRelax is better at its best in %s %%\n",
              table.str().c_str(), s.seeds, number(first).c_str(), number(100 * wins / s.seeds, 3).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("binary_relax_regression", "What does BinaryRelax gain over BinaryConnect in least squares?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) {
    check_usage(s.problem.columns <= s.problem.rows, "columns: given ", s.problem.columns, ", expected at most ",
                s.problem.rows, ", the number of rows");
    run_all(s, args, log);
  });
}
