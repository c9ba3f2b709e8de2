#include "experiments/training/statistics.h"

#include <cmath>
#include <numeric>

namespace coarsegrad::experiments {

MeanDeviation mean_deviation(std::span<const double> values) {
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1)) : std::nan("")};
}

}  // namespace coarsegrad::experiments
