// Why does the identity leave the spurious minimum, when, and how far does the loss jump?
// Population descent with each estimator from (v_pi, theta = pi - offset), with w as the step leaves it and
// with w rescaled to length 1 after each step. The identity's coarse gradient is kappa along w there, so |w|
// shrinks by eta kappa per step until w overshoots the origin and theta falls from pi to 0.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <numbers>

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

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kRise = 1e-3;            // a larger increase of the loss in one step counts as the escape
constexpr std::int64_t kRecorded = 1000;  // states of a drawn run that go into the log, or a few more

struct Flags {
  std::vector<double> eta{0.05, 0.01}, norm_w0{1, 2};
  double offset = 1e-3;
  std::int64_t steps = 4000;
};

struct Setting {
  Ste ste;
  bool rescaled;
  double eta, norm_w0;
};

struct Escape {
  double step = kNaN, jump = kNaN;  // NaN: it never left
  Descent run;
};

// Runs one setting; `record` is called with the states that a drawing needs.
template <class F>
Escape run_setting(const TwoLayer& model, const Setting& s, const Point& start, std::int64_t steps, F&& record) {
  Escape escape;
  double before = std::numeric_limits<double>::infinity();
  const std::int64_t every = std::max<std::int64_t>(1, steps / kRecorded);
  DescentOptions options{.eta = s.eta, .steps = steps, .rescale = s.rescaled};
  options.observe = [&](const State& state) {
    lab::check_stop();
    if (std::isnan(escape.step) && state.loss > before + kRise) {
      escape.step = static_cast<double>(state.step);
      escape.jump = state.loss - before;
    }
    before = state.loss;
    if (state.step % every == 0 || state.step == steps) record(state);
  };
  escape.run = population_descent(model, s.ste, start, options);
  return escape;
}

std::vector<Setting> all_settings(const Flags& flags, const std::vector<Ste>& stes) {
  std::vector<Setting> settings;
  for (const Ste& ste : stes)
    for (const bool rescaled : {false, true})
      for (const double eta : flags.eta)
        for (const double norm_w0 : flags.norm_w0) settings.push_back({ste, rescaled, eta, norm_w0});
  return settings;
}

struct Tables {
  std::vector<lab::Table> runs;  // one per estimator
  lab::Table escape;

  Tables(lab::RunLog& log, const std::vector<std::string>& names)
      : escape(
            log.table("escape", {{"ste", "1", "estimator", names},
                                 {"rescaled", "1", "whether w was rescaled to length 1 after each step"},
                                 {"eta", "1", "step size"},
                                 {"norm_w0", "1", "|w| at the start"},
                                 {"predicted_step", "1", "|w| / (eta kappa); NaN where no escape is predicted"},
                                 {"escape_step", "1", "first step that raises the loss by more than 1e-3; NaN: none"},
                                 {"predicted_jump", "1", "(|v*|^2 - 2 S^2 / (m + 1)) / 2"},
                                 {"jump", "1", "rise of the loss in that step"},
                                 {"final_loss", "1", "population loss at the end"},
                                 {"final_theta", "rad", "angle at the end"}})) {
    for (const std::string& name : names)
      runs.push_back(log.table(name, {{"rescaled", "1", "whether w was rescaled to length 1 after each step"},
                                      {"step", "1", "updates made"},
                                      {"loss", "1", "population loss"},
                                      {"theta", "rad", "angle between w and w*"},
                                      {"norm_w", "1", "|w|"}}));
  }
};

// Runs everything, logs it, and returns what to print.
lab::TextTable run_all(const Tables& tables, const TwoLayer& model, const Vector& w_perp, const Flags& flags,
                       const std::vector<Ste>& stes, bool quiet) {
  lab::TextTable table({"ste", "w", "eta", "|w0|", "predicted step", "escape step", "predicted jump", "jump",
                        "final loss", "final angle"});
  const std::vector<Setting> settings = all_settings(flags, stes);
  lab::ProgressBar progress("runs", static_cast<std::int64_t>(settings.size()), quiet);
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const Setting& s = settings[i];
    const std::size_t k = i * stes.size() / settings.size();  // each estimator has as many
    const bool drawn = s.eta == flags.eta[0] && s.norm_w0 == flags.norm_w0[0];
    const Point start{model.spurious_minimum().v,
                      filter_at(model.w_star(), w_perp, std::numbers::pi - flags.offset, s.norm_w0)};
    const Escape e = run_setting(model, s, start, flags.steps, [&](const State& state) {
      if (drawn) tables.runs[k].add({double(s.rescaled), double(state.step), state.loss, state.theta, state.norm_w});
    });
    const bool predicted = s.ste.name() == "identity" && !s.rescaled;
    const double step = predicted ? s.norm_w0 / (s.eta * model.identity_drift()) : kNaN;
    const double jump = predicted ? model.escape_jump() : kNaN;
    tables.escape.add({double(k), double(s.rescaled), s.eta, s.norm_w0, step, e.step, jump, e.jump, e.run.last.loss,
                       e.run.last.theta});
    table.row(s.ste.name(), std::string(s.rescaled ? "rescaled" : "free"), s.eta, s.norm_w0, step, e.step, jump, e.jump,
              e.run.last.loss, e.run.last.theta);
    progress.update(static_cast<std::int64_t>(i) + 1);
  }
  return table;
}

void run_experiment(lab::RunLog& log, const lab::Args& args, const lab::TwoLayerSetup& setup, const Flags& flags) {
  const Rng rng(args.seed());
  const TwoLayer model = setup.teacher(rng);
  check_usage(model.has_spurious_minimum() && model.identity_drift() > 0,
              "--v-star: this v* has no spurious minimum to leave, expected S^2 < (m + 1)/2 |v*|^2 "
              "and S not ",
              "0 (another --m, --v-star or --seed)");
  const std::vector<Ste> stes = setup.chosen();
  std::vector<std::string> names;
  for (const Ste& ste : stes) names.push_back(ste.name());
  const Vector w_perp = random_orthogonal(model.w_star(), rng.split("w_perp"));
  const Tables tables(log, names);
  lab::log_teacher(log, model);
  lab::log_vector(log, "w_perp", w_perp, "w = |w| (cos(theta) w* + sin(theta) w_perp)");
  lab::log_vector(log, "v", model.spurious_minimum().v, "second layer at the start, v_pi");
  log.start();
  const lab::TextTable table = run_all(tables, model, w_perp, flags, stes, args.quiet());
  if (!args.quiet()) std::cout << table.str();
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  lab::Args args("spurious_minimum",
                 "The instability of the identity at the spurious minimum: predicted against measured escape.");
  const lab::TwoLayerSetup setup(args, lab::paper_names());
  args.add("eta", flags.eta, "step sizes", {1e-6, 1});
  args.add("norm-w0", flags.norm_w0, "lengths of w at the start", {1e-3, 1e3});
  args.add("offset", flags.offset, "pi - theta at the start (rad)", {1e-9, 1});
  args.add("steps", flags.steps, "steps of each run", {1, 1'000'000'000});
  return lab::run(
      args, argc, argv, [&](lab::RunLog& log) { run_experiment(log, args, setup, flags); }, "double");
}
