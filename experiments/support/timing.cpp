#include "experiments/support/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "core/base/check.h"
#include "core/base/parallel.h"

namespace coarsegrad::experiments {

double Timing::rate(double work) const { return work > 0 ? work / median / 1e9 : std::nan(""); }

Timing timing_of(std::vector<double> samples) {
  check(!samples.empty(), "timing: given no sample, expected one or more");
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples.front(), samples.back()};
}

Timing time_of(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [&](int calls) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    return std::chrono::duration<double>(Clock::now() - start).count() / calls;
  };
  const int calls = static_cast<int>(std::clamp(3e-4 / std::max(seconds(2), 1e-9), 1.0, 1e6));
  std::vector<double> samples(15);
  for (double& s : samples) s = seconds(calls);
  return timing_of(std::move(samples));
}

double copy_rate(std::size_t bytes, int threads) {
  std::vector<char> from(bytes, 1), to(bytes, 2);
  const auto copy = [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
  };
  const int before = num_threads();
  set_num_threads(threads);
  const Timing t = time_of([&] { parallel_ranges(static_cast<std::int64_t>(bytes), std::int64_t{1} << 18, copy); });
  set_num_threads(before);
  return t.rate(2.0 * static_cast<double>(bytes));
}

}  // namespace coarsegrad::experiments
