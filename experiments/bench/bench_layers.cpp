// Where does the time of a training step go, layer by layer, and how near is each pass to what the machine allows?
//   bench_layers --net resnet20 --threads 2
//   bench_layers --net vgg11 --weights 1 --activations 4
// The bound of a pass is the longer one of two times: that of its multiply-adds at the measured peak of all threads, in
// floats, and that of the bytes it has to move through the level of memory that holds them. Products of codes, and those
// of Winograd's algorithm, which are fewer, can be faster. A pass without a bound is carried out by another op.
#include <algorithm>
#include <cstdio>
#include <map>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/bandwidth.h"
#include "experiments/bench/ports.h"
#include "experiments/bench/step_profile.h"
#include "experiments/bench/timed_training.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/support/timing.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Machine {
  double peak;  // float operations per second of all threads; 0: not measured
  std::vector<Bandwidth> levels;

  double bound(const PassProfile& p) const {
    const double computed = peak > 0 ? 2 * p.macs / peak : 0;
    return std::max(computed, seconds_to_move(levels, p.bytes));
  }
};

// Whether another op carries a pass out, since the gradient or the value is made where it is read.
bool is_elsewhere(double seconds, double bound) { return seconds < bound / 4; }

double median_of(const std::vector<double>& seconds) { return seconds.empty() ? 0 : timing_of(seconds).median; }

// What an op counts as in the summary.
std::string kind_of(const std::string& op) {
  static const std::map<std::string, std::string> kinds{{"conv2d", "convolutions"},
                                                        {"linear", "dense layers"},
                                                        {"batch_norm", "normalisation"},
                                                        {"relu", "activation"},
                                                        {"max_pool2d", "pooling"},
                                                        {"avg_pool2d", "pooling"},
                                                        {"quantize_activation", "activation"},
                                                        {"global_avg_pool2d", "pooling"},
                                                        {"cross_entropy", "loss"},
                                                        {"mix_activation", "activation"},
                                                        {"add", "sums"},
                                                        {"subsample2d", "shortcuts"}};
  const auto found = kinds.find(op);
  return found == kinds.end() ? "other ops" : found->second;
}

// Seconds by name, in the order in which they came.
class Sums {
 public:
  void add(const std::string& name, double seconds, double bound) {
    auto at = std::ranges::find(rows_, name, &Row::name);
    if (at == rows_.end()) at = rows_.insert(at, {name});
    at->seconds += seconds;
    at->bound += bound;
  }
  void print(double step) const {
    TextTable table({"part of the step", "ms", "%", "bound ms", "% of the bound"});
    double known = 0;
    for (const Row& r : rows_) {
      known += r.seconds;
      table.row(r.name, 1e3 * r.seconds, 100 * r.seconds / step, r.bound > 0 ? number(1e3 * r.bound) : "",
                r.bound > 0 ? number(100 * r.bound / r.seconds, 3) : "");
    }
    table.row(std::string("rest: gradients added up, the time between ops"), 1e3 * (step - known),
              100 * (step - known) / step, std::string(), std::string());
    table.row(std::string("step"), 1e3 * step, 100.0, std::string(), std::string());
    std::fputs(table.str().c_str(), stdout);
  }

 private:
  struct Row {
    std::string name;
    double seconds = 0, bound = 0;
  };
  std::vector<Row> rows_;
};

class Report {
 public:
  Report(const StepProfile& profile, const std::vector<StepTime>& steps, const Machine& machine)
      : profile_(profile), machine_(machine) {
    step_ = median_of_steps(steps, &StepTime::step);
    for (const OpProfile& o : profile.ops())
      for (const PassProfile* p : {&o.forward, &o.backward})
        add(kind_of(o.op), median_of(p->seconds), machine.bound(*p));
    sums_.add("weights made, gradients let go", median_of_steps(steps, &StepTime::before), 0);
    sums_.add("gradients checked, optimizer", median_of_steps(steps, &StepTime::optimizer), 0);
  }

  void add_to(const Table& results) const {
    for (std::size_t i = 0; i < profile_.ops().size(); ++i) {
      const OpProfile& o = profile_.ops()[i];
      for (const bool backward : {false, true}) {
        const PassProfile& p = backward ? o.backward : o.forward;
        results.add(
            {static_cast<double>(i), backward ? 1. : 0., median_of(p.seconds), p.macs, p.bytes, machine_.bound(p)});
      }
    }
  }
  void print() const {
    TextTable table({"layer", "op", "forward ms", "GFLOP/s", "GB/s", "% of the bound", "backward ms", "GFLOP/s ",
                     "GB/s ", "% of the bound "});
    for (const OpProfile& o : profile_.ops()) {
      std::vector<std::string> row{o.module, o.op};
      for (const PassProfile* p : {&o.forward, &o.backward}) add_pass(*p, row);
      table.add_row(std::move(row));
    }
    std::fputs(table.str().c_str(), stdout);
    sums_.print(step_);
  }

 private:
  void add(const std::string& kind, double seconds, double bound) {
    sums_.add(kind, seconds, is_elsewhere(seconds, bound) ? 0 : bound);
  }
  static double median_of_steps(const std::vector<StepTime>& steps, double StepTime::*part) {
    std::vector<double> seconds;
    for (const StepTime& s : steps) seconds.push_back(s.*part);
    return median_of(seconds);
  }
  void add_pass(const PassProfile& p, std::vector<std::string>& row) const {
    const double seconds = median_of(p.seconds), bound = machine_.bound(p);
    const auto cell = [&](bool known, double value, int digits) { return known ? number(value, digits) : ""; };
    row.push_back(cell(seconds > 0, 1e3 * seconds, 3));
    const bool own = seconds > 0 && !is_elsewhere(seconds, bound);
    row.push_back(cell(own && p.macs > 0, 2e-9 * p.macs / seconds, 3));
    row.push_back(cell(own && p.bytes > 0, 1e-9 * p.bytes / seconds, 3));
    row.push_back(cell(own && bound > 0, 100 * bound / seconds, 3));
  }

  const StepProfile& profile_;
  const Machine& machine_;
  double step_;
  Sums sums_;
};

std::vector<std::string> names_of(const std::vector<OpProfile>& ops) {
  std::vector<std::string> names;
  for (const OpProfile& o : ops) names.push_back(o.module.empty() ? o.op : o.module + " " + o.op);
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  TimedTrainingSettings s;
  Args args("bench_layers", "Where the time of a training step goes, layer by layer, beside what the machine allows.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) {
    TimedTraining training(s, args.seed());
    const FlushDenormals flush;
    StepProfile profile;
    std::vector<StepTime> steps;
    {
      for (int i = 0; i < 3; ++i) training.step();
      const TracerScope scope(&profile);
      for (int i = 0; i < s.steps; ++i) {
        check_stop();
        profile.begin_step();
        steps.push_back(training.step());
      }
    }
    const Ports ports = measure_ports();
    const bool wide = std::string(active_kernels().name).starts_with("avx512");
    const Machine machine{float_peak(ports, wide) * args.threads(), measure_bandwidth(args.threads())};
    const Table results =
        log.table("layers", {{"layer", "1", "module and op", names_of(profile.ops())},
                             {"pass", "1", "direction", {"forward", "backward"}},
                             {"seconds", "s", "duration, median over the steps; 0: none"},
                             {"macs", "1", "multiply-adds"},
                             {"bytes", "B", "read and written, each array as often as the algorithm has to"},
                             {"bound", "s", "longer one of the times for multiply-adds and bytes"}});
    log.start();
    std::printf("%s, batch %d, weights %s, activations %s, gradients %s, %d threads, table %s\n", s.net.c_str(),
                s.batch, s.weights.c_str(), s.activations.c_str(), s.gradients.name.c_str(), args.threads(),
                active_kernels().name);
    print_ports(ports);
    print_bandwidth(machine.levels);
    std::printf("peak of %d threads: %.0f GFLOP/s in floats\n", args.threads(), machine.peak / 1e9);
    const Report report(profile, steps, machine);
    report.add_to(results);
    report.print();
  });
}
