#pragma once
// Mean and spread over seeds.
#include <span>

namespace coarsegrad::experiments {

/// Mean and spread of some values, one for each seed.
struct MeanDeviation {
  double mean = 0;       ///< NaN of no values
  double deviation = 0;  ///< sample standard deviation (n - 1); NaN of fewer than two values
};
/// Mean and sample standard deviation of the values.
MeanDeviation mean_deviation(std::span<const double> values);

}  // namespace coarsegrad::experiments
