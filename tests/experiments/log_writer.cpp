// A run that does nothing but log, in every way that the tests need. Row k of every series and table holds
// numbers that follow from k, so that a reader can tell a torn row from a whole one.
#include <time.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <limits>
#include <thread>

#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "experiments/support/text_table.h"

using namespace coarsegrad;

namespace {

struct Knobs {
  int series = 3, rows = 1000, layers = 2, flush_every = 0, checkpoint_every = 0;
  std::int64_t elements = 4;
  double pause_ms = 0, rate = 0.5;
  bool busy = false, measure = false;
  std::string end = "finish", text = "plain";
  std::vector<int> bits{2, 4};
  std::vector<double> etas{0.1};
  std::vector<std::string> ste{"relu"};

  void add_to(experiments::Args& args) {
    args.add("series", series, "number of series", {1, 64});
    args.add("rows", rows, "rows of each series", {0, 1000000000});
    args.add("layers", layers, "rows of the table for each row of the series", {0, 100});
    args.add("flush-every", flush_every, "rows between calls of flush(), 0 for none", {0, 1000000});
    args.add("checkpoint-every", checkpoint_every,
             "rows between checkpoints in OUT.checkpoint, from which the next process goes on; 0 for none",
             {0, 1000000});
    args.add("elements", elements, "length of the input", {1, std::int64_t{1} << 28});
    args.add("pause-ms", pause_ms, "milliseconds between rows", {0, 1e6});
    args.add("busy", busy, "spend the pauses computing");
    args.add("measure", measure, "print what logging cost");
    args.add("end", end, "how it ends",
             {"finish", "diverge", "fail", "usage", "memory", "ignore-stop", "never-start", "add-early"});
    args.add("text", text, "any text");
    args.add("rate", rate, "a number", {0, 1});
    args.add("bits", bits, "a list of integers", {1, 32});
    args.add("etas", etas, "a list of numbers");
    args.add("ste", ste, "a list of names", {"identity", "relu", "clipped_relu"});
  }
};

/// Processor time, which other work on the machine does not count towards.
double seconds_on(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double own_seconds() { return seconds_on(CLOCK_THREAD_CPUTIME_ID); }

/// What the log's own thread has used: all threads of this process but the calling one.
double logger_seconds() { return seconds_on(CLOCK_PROCESS_CPUTIME_ID) - own_seconds(); }

void end_as(const std::string& end) {
  if (end == "diverge") experiments::check_finite("train/loss", std::numeric_limits<double>::quiet_NaN());
  if (end == "fail") throw Error("log_writer: asked\nto fail");
  if (end == "memory") throw std::bad_alloc();
}

/// Starts the log, or goes on from the checkpoint if there is one; the first row to add.
int begin(const Knobs& knobs, experiments::RunLog& log) {
  int row = 0;
  std::string position;
  if (knobs.checkpoint_every > 0) {
    std::ifstream file(log.path() + ".checkpoint");
    file >> row;
    std::getline(file >> std::ws, position);
  }
  position.empty() ? log.start() : log.resume(position);
  return row;
}

void write_rows(const Knobs& knobs, experiments::RunLog& log, bool quiet) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  std::vector<experiments::Series> series;
  for (int i = 0; i < knobs.series; ++i) series.push_back(log.series(cat("train/s", i), "1", "k plus its number"));
  const auto table = log.table(
      "layers",
      {{"layer", "1", "which layer", {"conv1", "conv2", "dense"}}, {"row", "1", "k"}, {"minus_row", "1", "-k"}});
  const std::vector<double> v(static_cast<std::size_t>(knobs.elements), 0.25);
  log.input("v", {knobs.elements}, v, "1", "a constant vector");
  if (knobs.end == "never-start") return;
  if (knobs.end == "add-early") series[0].add(0, 0);
  const double before_start = own_seconds();
  const int first = ::begin(knobs, log);
  const double start = own_seconds() - before_start;
  const auto begin = Clock::now();
  double adding = 0;
  experiments::ProgressBar bar("rows", std::max(knobs.rows, 1), quiet);
  for (int k = first; k < knobs.rows; ++k) {
    if (knobs.checkpoint_every > 0 && k % knobs.checkpoint_every == 0)
      experiments::write_file_atomically(log.path() + ".checkpoint", cat(k, " ", log.position()));
    const auto before = Clock::now();  // reading the processor's time would take longer than a row
    for (std::size_t i = 0; i < series.size(); ++i) series[i].add(k, k + static_cast<double>(i));
    for (int l = 0; l < knobs.layers; ++l) table.add({l % 3 * 1.0, k * 1.0, -k * 1.0});
    adding += Seconds(Clock::now() - before).count();
    if (knobs.flush_every > 0 && k % knobs.flush_every == 0) log.flush();
    bar.update(k + 1);
    if (knobs.end != "ignore-stop") experiments::check_stop();
    const auto until = begin + std::chrono::duration_cast<Clock::duration>(Seconds(1e-3 * knobs.pause_ms * (k + 1)));
    while (knobs.busy && Clock::now() < until) continue;
    std::this_thread::sleep_until(until);
  }
  end_as(knobs.end);
  if (!knobs.measure) return;
  const double wall = Seconds(Clock::now() - begin).count(), logger = logger_seconds();
  const double before_finish = own_seconds();
  log.finish();
  experiments::TextTable costs({"what", "seconds"});
  costs.row("start", start);
  costs.row("adding", adding);
  costs.row("logger", logger);
  costs.row("finish", own_seconds() - before_finish);
  costs.row("wall", wall);
  std::cout << costs.str();
}

}  // namespace

int main(int argc, char** argv) {
  Knobs knobs;
  experiments::Args args("log_writer", "writes rows into a log");
  knobs.add_to(args);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    if (knobs.end == "usage") throw UsageError("log_writer: these knobs do not go together");
    write_rows(knobs, log, args.quiet());
  });
}
