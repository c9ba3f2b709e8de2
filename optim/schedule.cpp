#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/base/check.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {
namespace {

void check_rate(const char* name, double rate) {
  check(in_range(rate, 0), name, ": given a rate of ", rate, ", expected a finite one >= 0");
}

void check_factor(const char* name, double factor) {
  check(factor > 0 && std::isfinite(factor), name, ": given a factor of ", factor, ", expected a finite one > 0");
}

/// The schedule f, guarded against negative steps.
template <class F>
Schedule from_zero_on(F f) {
  return [f](std::int64_t step) {
    check(step >= 0, "schedule: given step ", step, ", expected >= 0");
    return f(step);
  };
}

/// From a (t <= 0) to b (t >= 1) along half a cosine.
double half_cosine(double a, double b, double t) {
  return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * std::clamp(t, 0., 1.)));
}

}  // namespace

Schedule constant(double rate) {
  check_rate("constant", rate);
  return from_zero_on([=](std::int64_t) { return rate; });
}

Schedule step_decay(double rate, std::int64_t every, double factor) {
  check_rate("step_decay", rate);
  check_factor("step_decay", factor);
  check(every >= 1, "step_decay: given a length of ", every, ", expected 1 or more");
  return from_zero_on([=](std::int64_t step) {
    const std::int64_t falls = step / every;
    return rate * std::pow(factor, static_cast<double>(falls));
  });
}

Schedule multi_step(double rate, std::vector<std::int64_t> milestones, double factor) {
  check_rate("multi_step", rate);
  check_factor("multi_step", factor);
  check(std::is_sorted(milestones.begin(), milestones.end()) && (milestones.empty() || milestones.front() >= 0),
        "multi_step: given milestones that are negative or not in ascending order");
  return from_zero_on([=, passed = std::move(milestones)](std::int64_t step) {
    const auto count = std::upper_bound(passed.begin(), passed.end(), step) - passed.begin();
    return rate * std::pow(factor, static_cast<double>(count));
  });
}

Schedule cosine(double rate, std::int64_t steps, double final_rate) {
  check_rate("cosine", rate);
  check_rate("cosine", final_rate);
  check(steps >= 1, "cosine: given ", steps, " steps, expected 1 or more");
  return from_zero_on([=](std::int64_t step) {
    return half_cosine(rate, final_rate, static_cast<double>(step) / static_cast<double>(steps));
  });
}

Schedule one_cycle(const OneCycleOptions& o) {
  check_rate("one_cycle", o.max_rate);
  check_factor("one_cycle", o.start_divisor);
  check_factor("one_cycle", o.final_divisor);
  check_rate("one_cycle", o.max_rate / o.start_divisor);
  check_rate("one_cycle", o.max_rate / o.start_divisor / o.final_divisor);
  check(o.steps >= 2 && o.rise > 0 && o.rise < 1, "one_cycle: given ", o.steps, " steps and a rise of ", o.rise,
        ", expected 2 or more and a share between 0 and 1");
  const double start = o.max_rate / o.start_divisor, end = start / o.final_divisor;
  const double last = static_cast<double>(o.steps) - 1, peak = o.rise * static_cast<double>(o.steps) - 1;
  return from_zero_on([=, top = o.max_rate](std::int64_t step) {
    const auto t = static_cast<double>(step);
    return peak > 0 && t <= peak ? half_cosine(start, top, t / peak)
                                 : half_cosine(top, end, (t - peak) / (last - peak));
  });
}

Schedule linear_warmup(Schedule after, std::int64_t steps, double start_factor) {
  check(steps >= 0, "linear_warmup: given ", steps, " steps, expected 0 or more");
  check(start_factor >= 0 && start_factor <= 1, "linear_warmup: given a start of ", start_factor, ", expected 0 to 1");
  return from_zero_on([=, after = std::move(after)](std::int64_t step) {
    if (step >= steps) return after(step - steps);
    const double risen = static_cast<double>(step) / static_cast<double>(steps);
    return after(0) * (start_factor + (1 - start_factor) * risen);
  });
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
