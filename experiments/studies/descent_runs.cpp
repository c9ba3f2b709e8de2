#include "experiments/studies/descent_runs.h"

#include "experiments/support/run.h"

namespace coarsegrad::experiments {

using theory::Descent, theory::DescentOptions, theory::State;

RecordedDescent recorded(const std::function<Descent(const DescentOptions&)>& descend, DescentOptions options,
                         bool traced) {
  RecordedDescent out;
  std::int64_t next = 0;
  options.observe = [&, steps = options.steps](const State& state) {
    check_stop();
    if (!traced || (state.step < next && state.step < steps)) return;
    out.states.push_back(state);
    next = state.step + 1 + state.step / 100;
  };
  out.run = descend(options);
  return out;
}

void descend_all(const std::string& name, int runs, bool quiet, const std::function<RecordedDescent(int)>& one,
                 const std::function<void(int, const RecordedDescent&)>& take) {
  constexpr int kAtOnce = 20;
  ProgressBar progress(name, runs, quiet);
  for (int first = 0; first < runs; first += kAtOnce) {
    std::vector<RecordedDescent> block(static_cast<std::size_t>(std::min(kAtOnce, runs - first)));
    parallel_for(static_cast<std::int64_t>(block.size()),
                 [&](std::int64_t i) { block[static_cast<std::size_t>(i)] = one(first + static_cast<int>(i)); });
    for (std::size_t i = 0; i < block.size(); ++i) take(first + static_cast<int>(i), block[i]);
    progress.update(first + static_cast<std::int64_t>(block.size()));
  }
}

std::vector<std::string> end_names() {
  using theory::End;
  std::vector<std::string> names;
  for (const End end : {End::global_minimum, End::spurious_minimum, End::saddle, End::unsettled})
    names.emplace_back(end_name(end));
  return names;
}

}  // namespace coarsegrad::experiments
