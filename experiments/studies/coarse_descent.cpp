// Where does coarse gradient descent end, and does the loss fall all the way?
// Many random starts with each estimator, on the population loss or on the empirical loss of N samples; and
// the empirical loss after one step against the step size, for several N.
#include <algorithm>
#include <cmath>
#include <iostream>

#include "core/base/parallel.h"
#include "experiments/studies/two_layer_setup.h"
#include "experiments/support/progress.h"
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
};

struct Recorded {
  Descent run;
  std::vector<State> states;
};

// The run from random start number i, with its path if `traced`: every step up to 100, then 1 % apart.
Recorded run_from(const TwoLayer& model, const EmpiricalLoss* empirical, const std::string& ste, const Flags& flags,
                  bool traced, const Rng& rng) {
  Recorded out;
  std::int64_t next = 0;
  DescentOptions options{
      .eta = flags.eta, .steps = flags.steps, .rescale = flags.rescale, .tolerance = flags.tolerance};
  options.observe = [&](const State& state) {
    lab::check_stop();
    if (!traced || (state.step < next && state.step < flags.steps)) return;
    out.states.push_back(state);
    next = state.step + 1 + state.step / 100;
  };
  Point start = random_start(model, flags.norm_w0, rng);
  out.run = empirical ? empirical_descent(model, *empirical, surrogate(ste), std::move(start), options)
                      : population_descent(model, *ste_named(ste), std::move(start), options);
  return out;
}

struct SteTables {
  lab::Table trajectories, runs;
};

SteTables declare(lab::RunLog& log, const std::string& name) {
  std::vector<std::string> ends;
  for (const End end : {End::global_minimum, End::spurious_minimum, End::saddle, End::unsettled})
    ends.emplace_back(end_name(end));
  return {log.table(name, {{"run", "1", "number of the random start"},
                           {"step", "1", "updates made"},
                           {"loss", "1", "the loss descended on"},
                           {"theta", "rad", "angle between w and w*"},
                           {"norm_w", "1", "|w|"},
                           {"distance_v", "1", "|v - v*|"}}),
          log.table(name + "_runs", {{"run", "1", "number of the random start"},
                                     {"end", "1", "where the run ended", ends},
                                     {"monotone", "1", "whether no step raised the loss by more than 1e-12"},
                                     {"loss", "1", "the loss descended on, at the end"},
                                     {"theta", "rad", "angle at the end"},
                                     {"norm_w", "1", "|w| at the end"},
                                     {"distance_v", "1", "|v - v*| at the end"},
                                     {"min_norm_w", "1", "smallest |w| on the way"},
                                     {"max_increase", "1", "largest rise of the loss in one step"}})};
}

void log_run(const SteTables& tables, int number, const Recorded& recorded) {
  for (const State& s : recorded.states)
    tables.trajectories.add({double(number), double(s.step), s.loss, s.theta, s.norm_w, s.distance_v});
  const Descent& run = recorded.run;
  tables.runs.add({double(number), double(static_cast<int>(run.end)), double(run.monotone()), run.last.loss,
                   run.last.theta, run.last.norm_w, run.last.distance_v, run.min_norm_w, run.max_increase});
}

// All runs of one estimator, a few at a time, so that the log follows; the estimators share their starts.
std::vector<Descent> descend_all(const SteTables& tables, const TwoLayer& model, const EmpiricalLoss* empirical,
                                 const std::string& name, const Flags& flags, const Rng& rng, bool quiet) {
  constexpr int kAtOnce = 20;
  lab::ProgressBar progress(name, flags.runs, quiet);
  std::vector<Descent> runs;
  for (int first = 0; first < flags.runs; first += kAtOnce) {
    std::vector<Recorded> block(static_cast<std::size_t>(std::min(kAtOnce, flags.runs - first)));
    parallel_for(static_cast<std::int64_t>(block.size()), [&](std::int64_t i) {
      const std::int64_t number = first + i;
      block[static_cast<std::size_t>(i)] = run_from(model, empirical, name, flags, number < flags.trajectories,
                                                    rng.split(static_cast<std::uint64_t>(number)));
    });
    for (const Recorded& recorded : block) {
      log_run(tables, static_cast<int>(runs.size()), recorded);
      runs.push_back(recorded.run);
    }
    progress.update(static_cast<std::int64_t>(runs.size()));
  }
  return runs;
}

std::string share(const std::vector<Descent>& runs, auto property) {
  return std::to_string(std::ranges::count_if(runs, property)) + "/" + std::to_string(runs.size());
}

void add_summary(lab::TextTable& table, const std::string& name, const std::vector<Descent>& runs) {
  const auto ended = [&](End end) { return share(runs, [end](const Descent& d) { return d.end == end; }); };
  double rise = 0;
  for (const Descent& d : runs) rise = std::max(rise, d.max_increase);
  table.row(name, ended(End::global_minimum), ended(End::spurious_minimum), ended(End::saddle), ended(End::unsettled),
            share(runs, [](const Descent& d) { return d.monotone(); }), rise);
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

// The population loss can only be descended with estimators that have a closed form.
std::vector<std::string> estimators(const lab::TwoLayerSetup& setup, bool population) {
  std::vector<std::string> names = setup.chosen();
  if (!population) return names;
  if (setup.all()) std::erase_if(names, [](const std::string& name) { return !ste_named(name); });
  for (const std::string& name : names)
    check_usage(ste_named(name).has_value(), "--ste: given ", name,
                ", which has no closed form, expected --mode empirical with it");
  return names;
}

void run_experiment(lab::RunLog& log, const lab::Args& args, const lab::TwoLayerSetup& setup, const Flags& flags) {
  const Rng rng(args.seed());
  const TwoLayer model = setup.teacher(rng);
  const bool population = flags.mode == "population";
  const std::vector<std::string> names = estimators(setup, population);
  std::vector<SteTables> tables;
  for (const std::string& name : names) tables.push_back(declare(log, name));
  const OneStepTables steps(log);
  lab::log_teacher(log, model);
  log.start();

  one_step(steps, model, flags, rng.split("one_step"));
  std::vector<EmpiricalLoss> empirical;
  if (!population) empirical.emplace_back(model, flags.samples, rng.split("Z"));
  lab::TextTable table(
      {"ste", "global minimum", "spurious minimum", "saddle", "unsettled", "monotone", "largest rise in one step"});
  for (std::size_t k = 0; k < names.size(); ++k)
    add_summary(table, names[k],
                descend_all(tables[k], model, population ? nullptr : &empirical[0], names[k], flags, rng.split("start"),
                            args.quiet()));
  if (!args.quiet()) std::cout << table.str();
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
