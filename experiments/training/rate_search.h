#pragma once
// A learning rate and a weight decay for each variant of a comparison: shorter trainings with several of both, of which
// the held-out images choose one. So no variant loses because a rate suits another one, and the log shows what each
// reaches at which rate.
#include <string>
#include <vector>

#include "experiments/training/comparison.h"

namespace coarsegrad::experiments {

/// What a search goes through.
struct RateSearchSettings {
  std::vector<double> factors = {};  ///< of the learning rate; empty: 1 alone
  std::vector<double> decays = {};   ///< weight decays; empty: that of the plan alone
  int epochs = 0;                    ///< of each training of the search; 0: no search

  /// Whether there is anything to choose from.
  bool on() const { return epochs > 0 && (!factors.empty() || !decays.empty()); }
};
/// Adds the flags --rate-factors, --decays and --search-epochs.
void declare(Args& args, RateSearchSettings& s);

/// Searches the variants of a comparison one by one. Its trainings are cells of the comparison's sweep, which go on
/// where they were broken off.
class RateSearch {
 public:
  /// The seed of a search's trainings, which no run of a comparison has: those begin at 1.
  static constexpr std::uint64_t kSeed = 0;

  /// Declares the table `search` with the columns `keys` that tell variants apart, where the search is on. `s` must
  /// outlive this object. Throws UsageError for a search without held-out images, which must not be the test's.
  RateSearch(RunLog& log, const RateSearchSettings& s, std::vector<Column> keys, const SplitData& data);

  /// Trains `shorter`, the variant `key` with the schedules of as many epochs as a search has, with every rate and
  /// decay, logs what came out, and returns `whole`, the variant with those of the whole budget, with the pair whose
  /// best held-out epoch is the best (the first one of equals); its name says which. A training that diverges is worse
  /// than any other; where all do, or the search is off, `whole` comes back as it is.
  CellPlan tuned(const Sweep& sweep, const std::vector<double>& key, CellPlan whole, const CellPlan& shorter,
                 const SplitData& data, const quant::MakeNetwork& make, bool quiet) const;

 private:
  struct Trial {
    double lr, decay, held_out, test;  // accuracies are NaN where it diverged
  };
  std::vector<Trial> trials(const Sweep& sweep, const CellPlan& shorter, const SplitData& data,
                            const quant::MakeNetwork& make, bool quiet) const;

  const RateSearchSettings& s_;
  std::vector<Table> table_;  // one, or none
};

}  // namespace coarsegrad::experiments
