#pragma once
// Mean and spread over seeds.
#include <span>

namespace coarsegrad::experiments {

struct MeanDeviation {
  double mean = 0;       ///< NaN of no values
  double deviation = 0;  ///< sample standard deviation (n - 1); NaN of fewer than two values
};
MeanDeviation mean_deviation(std::span<const double> values);

}  // namespace coarsegrad::experiments
