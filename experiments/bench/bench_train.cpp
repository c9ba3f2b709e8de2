// How many images a second does a training step take in, in which pass does the time go, and how much memory?
//   bench_train --net lenet5 --batch 128 --steps 10 --activations 2
//   bench_train --net vgg11 --weights 1 --activations 1 --activation sign
//   bench_train --net resnet20 --weights 8 --activations 8 --gradients ptq --gradients.bits 8
// The last one multiplies integers in all three products of a layer; with --no-gradients.integer in the forward pass
// alone.
#include <sys/resource.h>

#include <cmath>
#include <cstdio>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "core/matrix_product.h"
#include "experiments/bench/timed_training.h"
#include "experiments/support/run.h"
#include "experiments/support/timing.h"

using namespace coarsegrad;
using experiments::StepTime, experiments::TimedTraining;

namespace {

// Largest resident memory so far, in MiB.
double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// The median of f(time) over all steps.
template <class F>
double median_of(const std::vector<StepTime>& times, F f) {
  std::vector<double> values;
  for (const StepTime& t : times) values.push_back(f(t));
  return experiments::timing_of(std::move(values)).median;
}

// GFLOP/s of the float matrix product of this size, all sides alike.
double sgemm_rate(std::int64_t n) {
  const std::vector<float> a(static_cast<std::size_t>(n * n), 0.5F), b = a;
  std::vector<float> c = a;
  const double work = 2 * std::pow(static_cast<double>(n), 3);
  return experiments::time_of([&] {
           matrix_product<float>(n, n, n, {a.data(), n}, {b.data(), n}, c.data(), n);
         })
      .rate(work);
}

}  // namespace

int main(int argc, char** argv) {
  experiments::TimedTrainingSettings s;
  bool sgemm = false;
  experiments::Args args("bench_train", "Training throughput of a network on random images: one process, one figure.");
  declare(args, s);
  args.add("sgemm", sgemm, "also the rate of a large float matrix product, as a scale");
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const auto seconds = log.series("step_seconds", "s", "duration of one training step");
    const auto forward = log.series("forward_seconds", "s", "duration of its forward pass, the loss included");
    const auto backward = log.series("backward_seconds", "s", "duration of its backward pass");
    const double before = peak_mib();
    TimedTraining training(s, args.seed());
    const FlushDenormals flush;
    for (int i = 0; i < 3; ++i) training.step();
    std::vector<StepTime> times;
    for (int i = 0; i < s.steps; ++i) times.push_back(training.step());
    log.start();
    std::vector<double> whole;
    for (int i = 0; i < s.steps; ++i) {
      const StepTime& step = times[static_cast<std::size_t>(i)];
      seconds.add(i, step.step);
      forward.add(i, step.forward);
      backward.add(i, step.backward);
      whole.push_back(step.step);
    }
    const experiments::Timing t = experiments::timing_of(std::move(whole));
    const double peak = peak_mib() - before;
    std::printf(
        "%s batch %d weights=%s activations=%s gradients=%s compute=%s kernels=%s threads=%d: median step %.2f "
        "ms, min %.2f, max %.2f, "
        "gflop_per_second=%.1f images_per_second=%.1f peak_mib=%.1f forward_ms=%.2f backward_ms=%.2f "
        "of_free_forward=%.3f\n",
        s.net.c_str(), s.batch, s.weights.c_str(), s.activations.c_str(), s.gradients.name.c_str(), s.compute.c_str(),
        active_kernels().name, args.threads(), t.median * 1e3, t.min * 1e3, t.max * 1e3, training.gflop() / t.median,
        s.batch / t.median, peak, 1e3 * median_of(times, [](const StepTime& u) { return u.forward; }),
        1e3 * median_of(times, [](const StepTime& u) { return u.backward; }),
        median_of(times, [](const StepTime& u) { return (u.step - u.forward) / u.step; }));
    if (sgemm) std::printf("sgemm_gflop_per_second=%.1f\n", sgemm_rate(2048));
  });
}
