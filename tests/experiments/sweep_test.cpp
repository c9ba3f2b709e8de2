#include "experiments/training/sweep.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "core/base/check.h"
#include "experiments/training/statistics.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

TEST_CASE("sweep: a finished cell is read back, not computed again, with NaN and infinity") {
  const TempFolder folder;
  const double inf = std::numeric_limits<double>::infinity();
  int computed = 0;
  const auto compute = [&] {
    ++computed;
    return CellRows{{1.0 / 3, std::nan("")}, {inf, -inf}};
  };
  const CellRows fresh = Sweep(folder.path(), R"({"epochs": 3})").cell("relu-2", compute);
  const CellRows again = Sweep(folder.path(), R"({"epochs": 3})").cell("relu-2", compute);
  CHECK(computed == 1);
  REQUIRE(again.size() == 2);
  CHECK(again[0][0] == fresh[0][0]);
  CHECK(std::isnan(again[0][1]));
  CHECK(again[1] == std::vector<double>{inf, -inf});
}

TEST_CASE("sweep: other settings are refused by the name of the knob") {
  const TempFolder folder;
  const Sweep begun(folder.path(), R"({"epochs": 3, "lr": 0.1})");
  CHECK_THROWS_AS(Sweep(folder.path(), R"({"epochs": 4, "lr": 0.1})"), UsageError);
  try {
    Sweep(folder.path(), R"({"epochs": 4, "lr": 0.1})");
  } catch (const UsageError& e) {
    CHECK(std::string(e.what()).find("epochs = 3, given 4") != std::string::npos);
  }
}

TEST_CASE("sweep: a cell whose computation throws leaves nothing, and a damaged one is named") {
  const TempFolder folder;
  const Sweep sweep(folder.path(), "{}");
  CHECK_THROWS_AS(sweep.cell("a", []() -> CellRows { throw Error("broken off"); }), Error);
  CHECK_FALSE(sweep.finished("a"));
  std::ofstream(folder.path() / "a.json") << "[[1, 2";
  CHECK_THROWS_AS(sweep.cell("a", [] { return CellRows{}; }), Error);
}

TEST_CASE("statistics: mean and sample standard deviation") {
  const double values[] = {1, 2, 4};
  CHECK(mean_deviation(values).mean == doctest::Approx(7.0 / 3));
  CHECK(mean_deviation(values).deviation == doctest::Approx(std::sqrt(7.0 / 3)));
  CHECK(std::isnan(mean_deviation({values, 1}).deviation));
}
