#pragma once
// Theorem 2 in coarse_descent (quant/theory/global_region.h): from starts that fulfil its conditions, do runs keep the
// three inequalities, and do they end in a global minimum? For several lengths of w at the start, since the theorem
// wants |w| bounded from below.
#include <vector>

#include "experiments/support/args.h"
#include "experiments/support/run_log.h"
#include "quant/theory/descent.h"

namespace coarsegrad::experiments {

/// --theorem2-runs, --theorem2-norm-w0 and --theorem2-trajectories.
struct Theorem2Flags {
  int runs = 50, trajectories = 10;
  std::vector<double> norm_w0{0.5, 1, 2, 5};

  /// Adds them to the Args; must outlive them.
  void add(Args& args);
};

/// The runs and their two tables, `theorem2` and `theorem2_runs`.
class Theorem2Runs {
 public:
  /// Declares the tables.
  Theorem2Runs(RunLog& log, const Theorem2Flags& flags, std::vector<theory::Ste> stes);
  /// Runs and logs everything on the population loss and returns what to print. The estimators and the lengths share
  /// their starts.
  std::string run(const theory::TwoLayer& model, const theory::DescentOptions& options, const Rng& rng,
                  bool quiet) const;

 private:
  const Theorem2Flags flags_;
  const std::vector<theory::Ste> stes_;
  Table paths_, runs_;
};

}  // namespace coarsegrad::experiments
