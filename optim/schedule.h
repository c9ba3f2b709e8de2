#pragma once
// Schedules: pure functions from a step (or an epoch, whatever one counts) to a learning rate. They hold no
// state, so a resumed run needs none: optimizer.lr = schedule(step). Names and meaning follow torch.optim.lr_scheduler.
#include <cstdint>
#include <functional>
#include <vector>

#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// Learning rate at a step >= 0; throws Error for a negative one. After its last step a schedule keeps its last rate.
using Schedule = std::function<double(std::int64_t step)>;

// All schedules below throw Error for a rate that is negative or not finite as a Real, and where a count, factor or
// order is out of the range given. A factor above 1 may carry a rate beyond that later: step() refuses it then.

/// `rate` at every step.
Schedule constant(double rate);

/// rate * factor^floor(step / every); every >= 1, factor > 0.
Schedule step_decay(double rate, std::int64_t every, double factor);

/// rate * factor^(number of milestones <= step); milestones ascending and >= 0, factor > 0.
Schedule multi_step(double rate, std::vector<std::int64_t> milestones, double factor);

/// From `rate` at step 0 along half a cosine to `final_rate` at step `steps` >= 1.
Schedule cosine(double rate, std::int64_t steps, double final_rate = 0);

/// Settings of one_cycle().
struct OneCycleOptions {
  double max_rate = 0.1;         ///< largest learning rate
  std::int64_t steps = 100;      ///< of the whole cycle, >= 2
  double rise = 0.3;             ///< share of the steps spent going up, in (0, 1)
  double start_divisor = 25;     ///< start at max_rate / start_divisor
  double final_divisor = 10000;  ///< end at max_rate / (start_divisor * final_divisor)
};
/// Up along half a cosine to max_rate at step rise * steps - 1, then down along another to the end at step
/// steps - 1 (Smith and Topin: Super-convergence, 2018). It leaves the momentum alone.
Schedule one_cycle(const OneCycleOptions& options);

/// Rises linearly from start_factor * after(0) at step 0 to after(0) at step `steps` >= 0, then goes on with
/// after(step - steps). start_factor in [0, 1].
Schedule linear_warmup(Schedule after, std::int64_t steps, double start_factor = 0);

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
