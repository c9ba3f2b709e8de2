// A run of one's own: flags, a reproducible log, an exit code.
#include "experiments/support/args.h"
#include "experiments/support/run.h"

using namespace coarsegrad;

int main(int argc, char** argv) {
  int steps = 100;
  experiments::Args args("logged_run", "does a project of one's own log the way the experiments do?");
  args.add("steps", steps, "rows of the series", {1, 1000000});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const auto loss = log.series("train/loss", "1", "a loss that falls");
    log.start();
    for (int k = 0; k < steps; ++k) loss.add(k, 1.0 / (1 + k));
  });
}
