#pragma once
// run(): flags, log, signals and exit code around an experiment's own work.
#include <exception>
#include <functional>
#include <string_view>

#include "core/base/check.h"
#include "core/real.h"
#include "experiments/support/args.h"
#include "experiments/support/run_log.h"

namespace coarsegrad::experiments {

/// Says that a loss, a weight or a result is not finite. Exit code 1, status `diverged`.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// Thrown by a loop that saw stop_requested(). Exit code 130, status `interrupted`. Not an Error: nobody who
/// recovers from failures should catch it.
class Interrupted : public std::exception {
 public:
  /// Reason on stderr and in the log.
  const char* what() const noexcept override { return "interrupted by a signal"; }
};

/// True after the first SIGINT, SIGTERM or SIGHUP. The second one ends the process at once.
bool stop_requested();
/// Throws Interrupted when stop_requested(). Long loops call it at places where stopping is safe.
void check_stop();
/// Returns `value`; throws Diverged, naming it, when it is NaN or infinite.
double check_finite(std::string_view name, double value);

/// Name of Real, for the log's attribute `real`.
inline constexpr std::string_view kRealName = sizeof(Real) == sizeof(float) ? "float" : "double";

/// Parses the flags, owns the log of this run, runs `body` with it and returns the exit code for main():
///   0    finished (or --help)
///   1    failed: any exception; status `failed`, or `diverged` for Diverged; also when what was printed did
///        not arrive (a full disk behind standard output): the log is whole then, and says `finished`
///   2    wrong usage: UsageError, from the flags or from `body`
///   130  interrupted: Interrupted, or `body` returned although a stop was requested
/// The reason goes to stderr as one line and into the log, if it was started. `real`, "float" or "double", is what the
/// run computes in. A program that calls run() has OpenMP's threads wait awake for less than a millisecond, unless its
/// environment says otherwise (core/base/short_waits.h).
int run(Args& args, int argc, const char* const* argv, const std::function<void(RunLog&)>& body,
        std::string_view real = kRealName);

}  // namespace coarsegrad::experiments
