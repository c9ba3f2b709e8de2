#include "experiments/studies/theorem2.h"

#include <string>

#include "core/base/check.h"
#include "experiments/studies/descent_runs.h"
#include "experiments/support/text_table.h"

namespace coarsegrad::experiments {
namespace {

using namespace theory;

std::vector<std::string> names_of(const std::vector<Ste>& stes) {
  std::vector<std::string> names;
  for (const Ste& ste : stes) names.push_back(ste.name());
  return names;
}

Table paths_table(RunLog& log, const std::vector<Ste>& stes) {
  return log.table("theorem2", {{"ste", "1", "estimator", names_of(stes)},
                                {"norm_w0", "1", "|w| at the start"},
                                {"run", "1", "number of the start"},
                                {"step", "1", "updates made"},
                                {"cross", "1", "v'v*, above 0 by the theorem"},
                                {"theta", "rad", "angle between w and w*, below pi/2 by the theorem"},
                                {"slack", "1", "S^2 - S 1'v, not below 0 by the theorem"},
                                {"norm_w", "1", "|w|"},
                                {"loss", "1", "population loss"}});
}

Table runs_table(RunLog& log, const std::vector<Ste>& stes) {
  return log.table("theorem2_runs", {{"ste", "1", "estimator", names_of(stes)},
                                     {"norm_w0", "1", "|w| at the start"},
                                     {"run", "1", "number of the start"},
                                     {"draws", "1", "random starts drawn until one fulfilled the three inequalities"},
                                     {"end", "1", "where the run ended", end_names()},
                                     {"kept", "1", "whether all three inequalities held at every step"},
                                     {"monotone", "1", "whether no step raised the loss by more than 1e-12"},
                                     {"min_cross", "1", "smallest v'v* on the way"},
                                     {"max_theta", "rad", "largest angle on the way"},
                                     {"min_slack", "1", "smallest S^2 - S 1'v on the way"},
                                     {"min_norm_w", "1", "smallest |w| on the way"},
                                     {"max_increase", "1", "largest rise of the loss in one step"},
                                     {"loss", "1", "population loss at the end"}});
}

}  // namespace

void Theorem2Flags::add(Args& args) {
  args.add("theorem2-runs", runs, "starts that fulfil the conditions of Theorem 2, for each estimator and length of w",
           {1, 1'000'000});
  args.add("theorem2-norm-w0", norm_w0, "lengths of w at these starts", {1e-3, 1e3});
  args.add("theorem2-trajectories", trajectories, "of these runs, how many paths are logged", {0, 10'000});
}

Theorem2Runs::Theorem2Runs(RunLog& log, const Theorem2Flags& flags, std::vector<Ste> stes)
    : flags_(flags), stes_(std::move(stes)), paths_(paths_table(log, stes_)), runs_(runs_table(log, stes_)) {}

std::string Theorem2Runs::run(const TwoLayer& model, const DescentOptions& options, const Rng& rng, bool quiet) const {
  TextTable table({"ste", "|w0|", "global minimum", "inequalities kept", "monotone", "least |w|"});
  double draws = 0, starts = 0;
  for (std::size_t k = 0; k < stes_.size(); ++k)
    for (const double norm_w0 : flags_.norm_w0) {
      std::vector<DrawnStart> drawn;
      for (int number = 0; number < flags_.runs; ++number)
        drawn.push_back(start_where(model, norm_w0, rng.split(static_cast<std::uint64_t>(number)),
                                    [](const GlobalRegion& region) { return region.holds(); }));
      const auto start = [&](int number) -> const DrawnStart& { return drawn[static_cast<std::size_t>(number)]; };
      const auto one = [&](int number) {
        return recorded(
            [&](const DescentOptions& o) { return population_descent(model, stes_[k], start(number).point, o); },
            options, number < flags_.trajectories);
      };
      std::vector<Descent> all;
      double least = norm_w0;
      descend_all(stes_[k].name() + ", Theorem 2", flags_.runs, quiet, one, [&](int number, const RecordedDescent& r) {
        for (const State& s : r.states)
          paths_.add({double(k), norm_w0, double(number), double(s.step), s.cross, s.theta, s.slack, s.norm_w, s.loss});
        const Descent& d = r.run;
        const int tried = start(number).draws;
        runs_.add({double(k), norm_w0, double(number), double(tried), double(static_cast<int>(d.end)),
                   double(d.worst.holds()), double(d.monotone()), d.worst.cross, d.worst.theta, d.worst.slack,
                   d.min_norm_w, d.max_increase, d.last.loss});
        draws += tried;
        ++starts;
        least = std::min(least, d.min_norm_w);
        all.push_back(d);
      });
      table.row(stes_[k].name(), norm_w0, share(all, [](const Descent& d) { return d.end == End::global_minimum; }),
                share(all, [](const Descent& d) { return d.worst.holds(); }),
                share(all, [](const Descent& d) { return d.monotone(); }), least);
    }
  return cat("starts that fulfil the conditions of Theorem 2, ", number(100 * starts / draws, 3), " % of all:\n",
             table.str());
}

}  // namespace coarsegrad::experiments
