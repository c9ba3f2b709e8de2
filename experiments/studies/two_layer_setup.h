#pragma once
// What the mains on the two-layer model share: knobs, teacher, inputs of the log.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/compute/random.h"
#include "experiments/support/args.h"
#include "experiments/support/run_log.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::experiments {

/// Adds --m, --n, --v-star and --ste to the Args; must outlive them.
struct TwoLayerSetup {
  int m = 4, n = 10;
  std::string v_star = "cycle";
  std::vector<std::string> ste{"all"};

  /// `stes` are the names that --ste takes beside "all".
  TwoLayerSetup(Args& args, std::vector<std::string> stes);

  /// Whether --ste names all.
  bool all() const;
  /// The estimators asked for, in the order of `stes` if all were. Throws UsageError for "all" beside other names.
  std::vector<theory::Ste> chosen() const;
  /// w* is a random direction; v* as asked for.
  theory::TwoLayer teacher(const Rng& rng) const;

 private:
  std::vector<std::string> stes_;
};

/// The names of the three estimators that the paper treats.
std::vector<std::string> paper_names();
/// Whether an estimator is one of them.
bool is_of_paper(const theory::Ste& ste);

/// Logs v* and w* as inputs.
void log_teacher(RunLog& log, const theory::TwoLayer& model);
/// Logs one vector as an input.
void log_vector(RunLog& log, std::string name, const theory::Vector& values, std::string description);

}  // namespace coarsegrad::experiments
