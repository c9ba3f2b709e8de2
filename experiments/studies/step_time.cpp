#include "experiments/studies/step_time.h"

#include <algorithm>
#include <chrono>

namespace coarsegrad::experiments {

Timing step_time(TrainingPlan plan, const SplitData& data, const quant::MakeNetwork& make, int steps) {
  constexpr int kUncounted = 2;
  const std::int64_t wanted = steps + kUncounted, batch = plan.optim.batch;
  const auto none = first_samples(data.train, 0);
  const SplitData few{first_samples(data.train, wanted * batch), none, none};
  const std::int64_t per_epoch = std::max<std::int64_t>(1, few.train->size() / batch);
  plan.optim.epochs = static_cast<int>((wanted + per_epoch - 1) / per_epoch);
  plan.method.two_stage = false;
  plan.method.progressive.clear();
  plan.options = {.quiet = true};

  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> ends;
  TrainerEvents events;
  events.step = [&](std::int64_t, double, double) { ends.push_back(Clock::now()); };
  StagedTraining(std::move(plan), few, make).run(events);
  std::vector<double> seconds;
  for (std::size_t i = kUncounted; i < ends.size(); ++i)
    seconds.push_back(std::chrono::duration<double>(ends[i] - ends[i - 1]).count());
  return timing_of(std::move(seconds));
}

}  // namespace coarsegrad::experiments
