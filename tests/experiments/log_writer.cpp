// A run that does nothing but log, in every way that the tests need. Row k of every series and table holds
// numbers that follow from k, so that a reader can tell a torn row from a whole one.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <limits>
#include <thread>

#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"

using namespace coarsegrad;

int main(int argc, char** argv) {
  int series = 3, rows = 1000, layers = 2;
  std::int64_t elements = 4;
  double pause_ms = 0, rate = 0.5;
  bool busy = false;
  std::string end = "finish", text = "plain";
  std::vector<int> bits{2, 4};
  std::vector<double> etas{0.1};
  std::vector<std::string> ste{"relu"};
  experiments::Args args("log_writer", "writes rows into a log");
  args.add("series", series, "number of series", {1, 64});
  args.add("rows", rows, "rows of each series", {0, 1000000000});
  args.add("layers", layers, "rows of the table for each row of the series", {0, 100});
  args.add("elements", elements, "length of the input", {1, std::int64_t{1} << 28});
  args.add("pause-ms", pause_ms, "milliseconds between rows", {0, 1e6});
  args.add("busy", busy, "spend the pauses computing");
  args.add("end", end, "how it ends",
           {"finish", "diverge", "fail", "usage", "ignore-stop", "memory", "hang"});
  args.add("text", text, "any text");
  args.add("rate", rate, "a number", {0, 1});
  args.add("bits", bits, "a list of integers", {1, 32});
  args.add("etas", etas, "a list of numbers");
  args.add("ste", ste, "a list of names", {"identity", "relu", "clipped_relu"});

  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    if (end == "usage") throw UsageError("log_writer: these knobs do not go together");
    std::vector<experiments::Series> lines;
    for (int i = 0; i < series; ++i)
      lines.push_back(log.series(cat("train/s", i), "1", "k plus the series' number"));
    const auto table = log.table("layers", {{"layer", "1", "which layer", {"conv1", "conv2", "dense"}},
                                            {"row", "1", "k"},
                                            {"minus_row", "1", "-k"}});
    const std::vector<double> v(static_cast<std::size_t>(elements), 0.25);
    log.input("v", {elements}, v, "1", "a constant vector");
    log.start();

    using Clock = std::chrono::steady_clock;
    double spent_logging = 0;
    experiments::Progress bar("rows", std::max(rows, 1), args.quiet());
    const auto begin = Clock::now();
    for (int k = 0; k < rows; ++k) {
      const auto before = Clock::now();
      for (int i = 0; i < series; ++i) lines[static_cast<std::size_t>(i)].add(k, k + i);
      for (int l = 0; l < layers; ++l) table.add({l % 3 * 1.0, k * 1.0, -k * 1.0});
      spent_logging += std::chrono::duration<double>(Clock::now() - before).count();
      bar.update(k + 1);
      if (end != "ignore-stop") experiments::check_stop();
      const auto until = begin + std::chrono::duration<double, std::milli>(pause_ms * (k + 1));
      while (busy && Clock::now() < until) continue;
      std::this_thread::sleep_until(until);
    }
    if (end == "diverge") experiments::check_finite("train/loss", std::numeric_limits<double>::quiet_NaN());
    if (end == "fail") throw Error("log_writer: asked\nto fail");
    if (end == "memory") throw std::bad_alloc();
    while (end == "hang") std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const double wall = std::chrono::duration<double>(Clock::now() - begin).count();
    experiments::TextTable summary({"quantity", "seconds"});
    summary.row("spent_logging", spent_logging);
    summary.row("wall", wall);
    std::cout << summary.str();
  });
}
