#pragma once
// Many descents on the two-layer model: with their paths, on all threads, in an order that does not depend on them.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "experiments/support/progress.h"
#include "quant/theory/descent.h"

namespace coarsegrad::experiments {

/// A descent and the states that a drawing of it needs; none unless they were asked for.
struct RecordedDescent {
  theory::Descent run;
  std::vector<theory::State> states;
};

/// What `descend` does with `options`; with `traced` the states of every step up to 100, then 1 % apart, and the last
/// one. A signal ends it (experiments/support/run.h).
RecordedDescent recorded(const std::function<theory::Descent(const theory::DescentOptions&)>& descend,
                         theory::DescentOptions options, bool traced);

/// Descends `runs` times, a few at a time, so that a log follows: one(i) on any thread, then take(i, what it gave) in
/// order. `name` stands before the progress bar.
void descend_all(const std::string& name, int runs, bool quiet, const std::function<RecordedDescent(int)>& one,
                 const std::function<void(int, const RecordedDescent&)>& take);

/// "global_minimum" and the others, for a column.
std::vector<std::string> end_names();

/// How many of the runs have a property: "12/200".
template <class Runs, class Property>
std::string share(const Runs& runs, Property property) {
  return std::to_string(std::ranges::count_if(runs, property)) + "/" + std::to_string(runs.size());
}

}  // namespace coarsegrad::experiments
