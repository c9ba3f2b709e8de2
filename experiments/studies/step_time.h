#pragma once
// What a step of a training costs, from a few of them.
#include "experiments/support/timing.h"
#include "experiments/training/staged.h"

namespace coarsegrad::experiments {

/// Times `steps` steps, after two that do not count, of a training that goes straight to the last stage of the
/// plan, on the first images of data.train. The plan's epochs and checkpoint play no part. Throws Diverged as a
/// training does.
Timing step_time(TrainingPlan plan, const SplitData& data, const quant::MakeNetwork& make, int steps);

}  // namespace coarsegrad::experiments
