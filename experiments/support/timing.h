#pragma once
// Timing of short pieces of work, and the rate of copying that they are compared with.
#include <cstddef>
#include <functional>
#include <vector>

namespace coarsegrad::experiments {

/// Seconds that one call took, over several samples.
struct Timing {
  double median,  ///< seconds of one call, median of the samples
      min,        ///< seconds of one call in the fastest sample
      max;        ///< seconds of one call in the slowest sample

  /// (max - min) / median in percent: large when something else ran on the machine.
  double spread_percent() const { return 100 * (max - min) / median; }
  /// `work` per second of the median, in units of 1e9; NaN for no work.
  double rate(double work) const;
};

/// The timing of one sample or more, in seconds.
Timing timing_of(std::vector<double> samples);

/// Times a call: 15 samples, each the mean of as many calls as take about 0.3 ms (at least one), after two calls that
/// do not count.
Timing time_of(const std::function<void()>& call);

/// Bytes read and written per second, in units of 1e9, when `threads` threads copy an array of this size.
double copy_rate(std::size_t bytes, int threads);

}  // namespace coarsegrad::experiments
