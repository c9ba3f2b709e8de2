#include "optim/schedule.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/optim/golden.h"

using namespace coarsegrad;
using namespace coarsegrad::optim;

namespace {

/// The largest relative error over the steps of the golden file.
double error_of(const char* name, const Schedule& schedule) {
  const auto expected = golden()["schedules"][name].get<std::vector<double>>();
  check(expected.size() >= 5, "golden schedule ", name, ": too short");
  double worst = 0;
  for (std::size_t step = 0; step < expected.size(); ++step)
    worst = std::max(worst, std::abs(schedule(static_cast<std::int64_t>(step)) / expected[step] - 1));
  return worst;
}

constexpr double kBound = 1e-13;

}  // namespace

TEST_CASE("schedules: every step is PyTorch's") {
  CHECK(error_of("constant", constant(0.3)) <= kBound);
  CHECK(error_of("step", step_decay(0.3, 4, 0.1)) <= kBound);
  CHECK(error_of("multi_step", multi_step(0.3, {3, 4, 9}, 0.2)) <= kBound);
  CHECK(error_of("cosine", cosine(0.3, 10, 0.01)) <= kBound);
  CHECK(error_of("one_cycle", one_cycle({.max_rate = 0.5, .steps = 20, .start_divisor = 10, .final_divisor = 100})) <=
        kBound);
  CHECK(error_of("warmup", linear_warmup(step_decay(0.3, 3, 0.5), 4, 0.25)) <= kBound);
}

TEST_CASE("schedules: the comparison notices a schedule that is off by one step or in one parameter") {
  CHECK(error_of("step", step_decay(0.3, 5, 0.1)) > 1e-3);
  CHECK(error_of("multi_step", multi_step(0.3, {3, 5, 9}, 0.2)) > 1e-3);
  CHECK(error_of("cosine", cosine(0.3, 11, 0.01)) > 1e-3);
  CHECK(error_of("one_cycle", one_cycle({.max_rate = 0.5, .steps = 21, .start_divisor = 10, .final_divisor = 100})) >
        1e-3);
  CHECK(error_of("warmup", linear_warmup(step_decay(0.3, 3, 0.5), 4, 0.26)) > 1e-3);
}

TEST_CASE("schedules: the ends are where they should be, and the last rate stays") {
  const Schedule down = cosine(0.2, 7, 0.1);
  CHECK(down(0) == doctest::Approx(0.2));
  CHECK(down(7) == doctest::Approx(0.1));
  CHECK(down(1000) == doctest::Approx(0.1));
  const Schedule cycle = one_cycle({.max_rate = 1, .steps = 10, .rise = 0.5, .start_divisor = 4, .final_divisor = 5});
  CHECK(cycle(0) == doctest::Approx(0.25));
  CHECK(cycle(4) == doctest::Approx(1));
  CHECK(cycle(9) == doctest::Approx(0.05));
  CHECK(cycle(1000) == doctest::Approx(0.05));
  const Schedule short_rise = one_cycle({.max_rate = 1, .steps = 2, .rise = 0.5});  // nothing before the top
  CHECK(short_rise(0) == doctest::Approx(1));
  CHECK(linear_warmup(constant(1), 0)(0) == 1);
  CHECK(linear_warmup(constant(1), 10)(0) == 0);
}

TEST_CASE("schedules: arguments that make no sense are refused") {
  CHECK_THROWS_AS(constant(-1), Error);
  CHECK_THROWS_AS(constant(std::nan("")), Error);
  CHECK_THROWS_AS(constant(1)(-1), Error);
  for (const double bad : {std::nan(""), HUGE_VAL, 10. * static_cast<double>(std::numeric_limits<Real>::max())}) {
    CHECK_THROWS_AS(constant(bad), Error);
    CHECK_THROWS_AS(step_decay(bad, 1, 0.1), Error);
    CHECK_THROWS_AS(multi_step(bad, {1}, 0.1), Error);
    CHECK_THROWS_AS(cosine(1, 5, bad), Error);
    CHECK_THROWS_AS(one_cycle({.max_rate = bad}), Error);
  }
  CHECK_THROWS_AS(step_decay(1, 1, std::nan("")), Error);
  CHECK_THROWS_AS(one_cycle({.rise = std::nan("")}), Error);
  CHECK_THROWS_AS(one_cycle({.start_divisor = std::numeric_limits<double>::denorm_min()}), Error);
  CHECK_THROWS_AS(linear_warmup(constant(1), 1, std::nan("")), Error);
  CHECK_THROWS_AS(step_decay(1, 0, 0.1), Error);
  CHECK_THROWS_AS(step_decay(1, 1, 0), Error);
  CHECK_THROWS_AS(multi_step(1, {3, 2}, 0.1), Error);
  CHECK_THROWS_AS(multi_step(1, {-1}, 0.1), Error);
  CHECK_THROWS_AS(cosine(1, 0), Error);
  CHECK_THROWS_AS(cosine(1, 5, -1), Error);
  CHECK_THROWS_AS(one_cycle({.steps = 1}), Error);
  CHECK_THROWS_AS(one_cycle({.rise = 1}), Error);
  CHECK_THROWS_AS(linear_warmup(constant(1), -1), Error);
  CHECK_THROWS_AS(linear_warmup(constant(1), 1, 2), Error);
}
