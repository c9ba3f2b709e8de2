// Where does coarse gradient descent end, and does the loss fall all the way?
// Many random starts with each estimator, on the population loss or on the empirical loss of N samples; starts that
// fulfil the conditions of Theorem 2, on the population loss; and the empirical loss after one step against the step
// size, for several N.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <optional>

#include "core/base/check.h"
#include "experiments/studies/descent_runs.h"
#include "experiments/studies/theorem2.h"
#include "experiments/studies/two_layer_setup.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "quant/theory/descent.h"
#include "quant/theory/teacher.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
namespace lab = coarsegrad::experiments;

namespace {

struct Flags {
  std::string mode = "population";
  int runs = 200, trajectories = 20;
  std::int64_t steps = 30000, samples = 4000;
  double eta = 0.05, norm_w0 = 5, tolerance = 1e-3;
  bool rescale = false;
  std::vector<int> one_step_samples{10, 100, 1000, 20000};
  int one_step_draws = 20, one_step_points = 201;
  double one_step_max_eta = 1;
  std::string one_step_ste = "relu";
  lab::Theorem2Flags theorem2;

  DescentOptions descent() const { return {.eta = eta, .steps = steps, .rescale = rescale, .tolerance = tolerance}; }
};

struct SteTables {
  lab::Table trajectories, runs;
};

SteTables declare(lab::RunLog& log, const std::string& name) {
  return {log.table(name, {{"run", "1", "number of the random start"},
                           {"step", "1", "updates made"},
                           {"loss", "1", "the loss descended on"},
                           {"theta", "rad", "angle between w and w*"},
                           {"norm_w", "1", "|w|"},
                           {"distance_v", "1", "|v - v*|"}}),
          log.table(name + "_runs", {{"run", "1", "number of the random start"},
                                     {"end", "1", "where the run ended", lab::end_names()},
                                     {"monotone", "1", "whether no step raised the loss by more than 1e-12"},
                                     {"loss", "1", "the loss descended on, at the end"},
                                     {"theta", "rad", "angle at the end"},
                                     {"norm_w", "1", "|w| at the end"},
                                     {"distance_v", "1", "|v - v*| at the end"},
                                     {"min_norm_w", "1", "smallest |w| on the way"},
                                     {"max_increase", "1", "largest rise of the loss in one step"}})};
}

void log_run(const SteTables& tables, int number, const lab::RecordedDescent& recorded) {
  for (const State& s : recorded.states)
    tables.trajectories.add({double(number), double(s.step), s.loss, s.theta, s.norm_w, s.distance_v});
  const Descent& run = recorded.run;
  tables.runs.add({double(number), double(static_cast<int>(run.end)), double(run.monotone()), run.last.loss,
                   run.last.theta, run.last.norm_w, run.last.distance_v, run.min_norm_w, run.max_increase});
}

// All runs of one estimator, on the empirical loss where one is given. The estimators share their starts.
std::vector<Descent> descend_all(const SteTables& tables, const TwoLayer& model, const EmpiricalLoss* empirical,
                                 const Ste& ste, const Flags& flags, const Rng& rng, bool quiet) {
  const auto one = [&](int number) {
    Point start = random_start(model, flags.norm_w0, rng.split(static_cast<std::uint64_t>(number)));
    const auto descend = [&](const DescentOptions& options) {
      return empirical ? empirical_descent(model, *empirical, ste.surrogate(), std::move(start), options)
                       : population_descent(model, ste, std::move(start), options);
    };
    return lab::recorded(descend, flags.descent(), number < flags.trajectories);
  };
  std::vector<Descent> runs;
  lab::descend_all(ste.name(), flags.runs, quiet, one, [&](int number, const lab::RecordedDescent& recorded) {
    log_run(tables, number, recorded);
    runs.push_back(recorded.run);
  });
  return runs;
}

void add_summary(lab::TextTable& table, const std::string& name, const std::vector<Descent>& runs) {
  const auto ended = [&](End end) { return lab::share(runs, [end](const Descent& d) { return d.end == end; }); };
  double rise = 0;
  for (const Descent& d : runs) rise = std::max(rise, d.max_increase);
  table.row(name, ended(End::global_minimum), ended(End::spurious_minimum), ended(End::saddle), ended(End::unsettled),
            lab::share(runs, [](const Descent& d) { return d.monotone(); }), rise);
}

struct OneStepTables {
  lab::Table curves, variation;

  explicit OneStepTables(lab::RunLog& log)
      : curves(log.table("one_step", {{"samples", "1", "samples N"},
                                      {"eta", "1", "size of the step"},
                                      {"loss", "1", "empirical loss after one step of that size, first draw"}})),
        variation(log.table(
            "one_step_variation",
            {{"samples", "1", "samples N"},
             {"draw", "1", "number of the draw of start and samples"},
             {"excess_variation", "1", "total variation before the minimum over the drop to it, minus 1"}})) {}
};

// Figure 1 of the paper: a coarse step with few samples descends only roughly, with many it is smooth.
void one_step(const OneStepTables& tables, const TwoLayer& model, const Flags& flags, const Rng& rng) {
  Vector etas;
  for (int i = 0; i < flags.one_step_points; ++i)
    etas.push_back(flags.one_step_max_eta * i / (flags.one_step_points - 1));
  const Surrogate& ste = surrogate(flags.one_step_ste);
  for (const int samples : flags.one_step_samples)
    for (int draw = 0; draw < flags.one_step_draws; ++draw) {
      lab::check_stop();
      const Rng stream = rng.split(static_cast<std::uint64_t>(draw));
      const EmpiricalLoss empirical(model, samples, stream.split("Z").split(static_cast<std::uint64_t>(samples)));
      const Vector curve = empirical.one_step_curve(ste, random_start(model, 1, stream.split("start")), etas);
      tables.variation.add({double(samples), double(draw), excess_variation(curve)});
      if (draw == 0)
        for (std::size_t i = 0; i < curve.size(); ++i) tables.curves.add({double(samples), etas[i], curve[i]});
    }
}

// On the population loss `all` are those of the paper: what has no closed form takes hundreds of times as long.
std::vector<Ste> estimators(const lab::TwoLayerSetup& setup, bool population) {
  std::vector<Ste> stes = setup.chosen();
  if (population && setup.all()) std::erase_if(stes, [](const Ste& ste) { return !lab::is_of_paper(ste); });
  return stes;
}

void run_experiment(lab::RunLog& log, const lab::Args& args, const lab::TwoLayerSetup& setup, const Flags& flags) {
  const Rng rng(args.seed());
  const TwoLayer model = setup.teacher(rng);
  const bool population = flags.mode == "population";
  const std::vector<Ste> stes = estimators(setup, population);
  std::vector<SteTables> tables;
  for (const Ste& ste : stes) tables.push_back(declare(log, ste.name()));
  const OneStepTables steps(log);
  std::optional<lab::Theorem2Runs> theorem2;
  if (population) theorem2.emplace(log, flags.theorem2, stes);
  lab::log_teacher(log, model);
  log.start();

  one_step(steps, model, flags, rng.split("one_step"));
  std::vector<EmpiricalLoss> empirical;
  if (!population) empirical.emplace_back(model, flags.samples, rng.split("Z"));
  lab::TextTable table(
      {"ste", "global minimum", "spurious minimum", "saddle", "unsettled", "monotone", "largest rise in one step"});
  for (std::size_t k = 0; k < stes.size(); ++k)
    add_summary(table, stes[k].name(),
                descend_all(tables[k], model, population ? nullptr : &empirical[0], stes[k], flags, rng.split("start"),
                            args.quiet()));
  std::string found = table.str();
  if (theorem2) found += cat("\n", theorem2->run(model, flags.descent(), rng.split("theorem2"), args.quiet()));
  if (!args.quiet()) std::cout << found;
}

void add_flags(lab::Args& args, Flags& flags) {
  args.add("mode", flags.mode, "descend on the population loss or on the loss of --samples samples",
           {"population", "empirical"});
  args.add("runs", flags.runs, "random starts for each estimator", {1, 1'000'000});
  args.add("steps", flags.steps, "steps of each run", {1, 1'000'000'000});
  args.add("eta", flags.eta, "step size of both layers", {1e-9, 10});
  args.add("norm-w0", flags.norm_w0, "length of w at the start", {1e-3, 1e3});
  args.add("rescale", flags.rescale, "scale w to length 1 after each step");
  args.add("samples", flags.samples, "samples of the empirical loss", {1, 10'000'000});
  args.add("tolerance", flags.tolerance, "tolerance of the loss, by which the end of a run is classified", {1e-12, 1});
  args.add("trajectories", flags.trajectories, "runs of each estimator whose path is logged", {0, 10'000});
  args.add("one-step-samples", flags.one_step_samples, "sample sizes of the one-step curves", {1, 10'000'000});
  args.add("one-step-draws", flags.one_step_draws, "draws of start and samples for each --one-step-samples",
           {1, 10'000});
  args.add("one-step-points", flags.one_step_points, "points of a one-step curve", {2, 100'000});
  args.add("one-step-max-eta", flags.one_step_max_eta, "largest step of a one-step curve", {1e-6, 100});
  args.add("one-step-ste", flags.one_step_ste, "estimator of the one-step curves", surrogate_names());
  flags.theorem2.add(args);
  args.add_need({"theorem2-runs", "theorem2-norm-w0", "theorem2-trajectories"}, "mode", "with --mode empirical",
                [&flags] { return flags.mode == "population"; });
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  lab::Args args("coarse_descent",
                 "Coarse gradient descent on the two-layer model: where runs end, and whether they fall.");
  const lab::TwoLayerSetup setup(args, surrogate_names());
  add_flags(args, flags);
  return lab::run(
      args, argc, argv, [&](lab::RunLog& log) { run_experiment(log, args, setup, flags); }, "double");
}
