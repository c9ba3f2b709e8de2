#include "experiments/training/sweep.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/base/check.h"
#include "experiments/training/comparison.h"
#include "experiments/training/statistics.h"
#include "tests/support/errors.h"
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

TEST_CASE("sweep: cells and settings that are pipes, nested JSON or no JSON are refused in one short line") {
  const TempFolder folder;
  const Sweep sweep(folder / "s", "{}");
  const auto stored = [&] { return complaint_of([&] { sweep.cell("a", [] { return CellRows{}; }); }); };
  REQUIRE(mkfifo((folder.path() / "s" / "a.json").c_str(), 0600) == 0);
  CHECK_SAYS(stored(), "a.json is damaged (is not a regular file); remove it to run this cell again");
  std::filesystem::remove(folder.path() / "s" / "a.json");
  write_file(folder.path() / "s" / "a.json", std::string(20'000'000, '['));
  CHECK_SAYS(stored(), "is nested more than 8 deep");
  write_file(folder.path() / "s" / "a.json", "[[\"" + std::string(5'000'000, 'x'));
  CHECK_SAYS(stored(), "it is no JSON: wrong at byte");
  write_file(folder.path() / "s" / "a.json", "[[\"" + std::string(5'000'000, 'x') + "\"]]");
  CHECK(stored().size() < 300);
  for (const char* settings : {"[1]", "{\"lr\": 1, \"lr\": 2}", "{"}) {
    write_file(folder.path() / "s" / "settings.json", settings);
    CHECK_SAYS(complaint_of([&] { Sweep(folder / "s", "{}"); }), "settings.json is damaged");
  }
}

namespace {

// Args that log to `out`.
struct OutArgs : Args {
  explicit OutArgs(const std::filesystem::path& out) : Args("test", "a comparison") {
    const std::string file = out.string();
    const char* words[] = {"test", "--out", file.c_str()};
    parse(3, words);
  }
};

// A run that logs to `out` and nothing else.
struct LoggedRun {
  explicit LoggedRun(const std::filesystem::path& out) : args(out) {}

  const std::vector<Column> keys{{"bits", "bit", "bits of the weights"}};
  OutArgs args;
  RunLog log{args.out(), {"test", args.command_line(), args.config(), 1, 1, "float"}};
};

}  // namespace

TEST_CASE("comparison: the best epoch is not looked for on the way to the last stage") {
  const TempFolder folder;
  LoggedRun run(folder / "run.h5");
  Comparison comparison(run.args, run.log, run.keys);
  run.log.start();
  // epoch, loss, held-out and test accuracy, training loss: more bits, then two epochs of the last stage
  const double nan = std::nan("");
  const CellRows rows{{1, 0.1, 0.99, 0.98, nan}, {2, 0.3, 0.8, 0.7, nan}, {3, 0.2, 0.7, 0.75, 0.2}};
  const CellRows diverged{{1, 0.1, 0.99, 0.98, nan}, {2, nan, nan, nan, nan}};
  comparison.add_float(rows);
  comparison.add({1}, 1, rows, 1);
  comparison.add({2}, 1, diverged, 1);
  comparison.add({3}, 1, rows);
  comparison.report();
  const auto found = nlohmann::json::parse(std::ifstream(folder / "run.json"));
  CHECK(found["float"]["test_best"] == 0.98);
  const auto& cells = found["cells"];
  REQUIRE(cells.size() == 3);
  CHECK(cells[0]["test_best"]["mean"] == 0.7);
  CHECK(cells[0]["test_last"]["mean"] == 0.75);
  CHECK(cells[0]["runs"] == 1);
  CHECK(cells[0]["test_last"]["half_width"].is_null());
  CHECK(cells[1]["test_best"]["mean"].is_null());
  CHECK(cells[2]["test_best"]["mean"] == 0.98);
}

TEST_CASE("comparison: text and summary say the mean, the half width of its interval, and of how many runs") {
  const TempFolder folder;
  LoggedRun run(folder / "run.h5");
  Comparison comparison(run.args, run.log, run.keys);
  run.log.start();
  comparison.add_float({{1, 0.1, 0.9, 0.9, 0.3}});
  for (const double test : {0.7, 0.8}) comparison.add({1}, 1, {{1, 0.1, 0.7, test, 0.5}});
  const std::string text = comparison.report();
  CHECK_SAYS(text, "75.00 +- 64");  // 12.7 * 7.07 / sqrt(2)
  CHECK_SAYS(text, "half width of the 95 % interval of the mean over the runs, by Student's t (one run: none)");
  const auto found = nlohmann::json::parse(std::ifstream(folder / "run.json"));
  CHECK(found["cells"][0]["runs"] == 2);
  CHECK(found["cells"][0]["test_best"]["half_width"].get<double>() == doctest::Approx(12.7062047362 * 0.05));
  CHECK(found["interval"] == "half width of the 95 % interval of the mean over the runs, by Student's t");
}

TEST_CASE("comparison: cells with rows too short, or without any, are refused") {
  const TempFolder folder;
  LoggedRun run(folder / "run.h5");
  Comparison comparison(run.args, run.log, run.keys);
  run.log.start();
  CHECK_SAYS(complaint_of([&] { comparison.add({1}, 1, {}); }), "given a cell without rows");
  CHECK_SAYS(complaint_of([&] { comparison.add({1}, 1, {{1, 2, 3, 4}}); }), "given a row of 4 numbers, expected 5");
  CHECK_SAYS(complaint_of([&] { comparison.add_float({}); }), "given a cell without rows");
}

TEST_CASE("comparison: a file at the place of its summary that is something else is left alone") {
  const TempFolder folder;
  LoggedRun run(folder / "run.h5");
  for (const char* other : {"{\"epochs\": 3}", "{\"experiment\": \"another\"}", "no JSON"}) {
    std::ofstream(folder / "run.json") << other;
    CHECK_THROWS_AS(Comparison(run.args, run.log, run.keys), UsageError);
  }
  std::filesystem::remove(folder / "run.json");
  REQUIRE(mkfifo((folder / "run.json").c_str(), 0600) == 0);
  CHECK_THROWS_AS(Comparison(run.args, run.log, run.keys), UsageError);
}

TEST_CASE("statistics: mean and sample standard deviation") {
  const double values[] = {1, 2, 4};
  CHECK(mean_deviation(values).mean == doctest::Approx(7.0 / 3));
  CHECK(mean_deviation(values).deviation == doctest::Approx(std::sqrt(7.0 / 3)));
  CHECK(std::isnan(mean_deviation({values, 1}).deviation));
}

TEST_CASE("statistics: Student's t is that of the tables, and in the limit that of the normal distribution") {
  const std::pair<int, double> tabulated[] = {{1, 12.706}, {2, 4.303}, {3, 3.182}, {4, 2.776}, {9, 2.262}, {10, 2.228}};
  for (const auto& row : tabulated) {
    CAPTURE(row.first);
    CHECK(std::abs(student_t_95(row.first) - row.second) < 5e-4);
  }
  CHECK(std::abs(student_t_95(1) - std::tan(0.475 * std::numbers::pi)) < 1e-9);  // a Cauchy variable
  CHECK(std::abs(student_t_95(2) - 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95))) < 1e-10);
  CHECK(std::abs(student_t_95(1000000) - 1.959964) < 1e-5);
  CHECK_THROWS_AS(student_t_95(0), Error);
}

TEST_CASE(
    "statistics: the interval of a mean is t s / sqrt(n), one value has none, and what does not exist is no text") {
  const double values[] = {1, 2, 4};
  const MeanDeviation m = mean_deviation(values);
  CHECK(m.half_width == doctest::Approx(4.302652729749 * std::sqrt(7.0 / 9)));
  CHECK(std::isnan(mean_deviation({values, 1}).half_width));
  CHECK(plus_minus(m) == "2.333 +- 3.8");
  CHECK(plus_minus(m, 100) == "233.3 +- 379");
  CHECK(plus_minus(mean_deviation({values, 1})) == "1.000");
  CHECK(plus_minus(mean_deviation({values, 0})) == "-");
}
