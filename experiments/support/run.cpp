#include "experiments/support/run.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "core/base/parallel.h"
#include "core/base/short_waits.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::experiments {
namespace {

constexpr int kFinished = 0, kFailed = 1, kUsage = 2, kInterrupted = 130;

volatile std::sig_atomic_t stop_flag = 0;
volatile std::sig_atomic_t say_so = 0;

extern "C" void on_stop(int) {
  if (stop_flag) _exit(kInterrupted);
  stop_flag = 1;
  static const char text[] = "\nstopping at the next safe place; once more stops at once\n";
  if (say_so && write(STDERR_FILENO, text, sizeof text - 1) < 0) return;  // nothing else can be done in a handler
}

/// A signal that the parent told us to ignore (nohup, a background job of a shell) stays ignored.
void install_signals() {
  struct sigaction action {
  }, before{};
  action.sa_handler = on_stop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  // A reader of our output that goes away, or a limit on file sizes, is an error that a write reports.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

/// With a standard descriptor closed, the log could be opened as number 1 or 2 and printed into.
void fill_standard_descriptors() {
  for (int fd = open("/dev/null", O_RDWR); fd >= 0; fd = open("/dev/null", O_RDWR))
    if (fd > STDERR_FILENO) {
      close(fd);
      return;
    }
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

void complain(const Args& args, const std::string& reason) {
  std::fprintf(stderr, "%s: %s\n", args.experiment().c_str(), one_line(reason).c_str());
}

struct Outcome {
  int code = kFinished;
  Status status = Status::finished;
  std::string reason;
};

/// Exit code, status and reason that the exception in flight stands for.
Outcome outcome_of_exception() {
  try {
    throw;
  } catch (const Interrupted& e) {
    return {kInterrupted, Status::interrupted, e.what()};
  } catch (const Diverged& e) {
    return {kFailed, Status::diverged, e.what()};
  } catch (const UsageError& e) {
    return {kUsage, Status::failed, e.what()};
  } catch (const std::bad_alloc&) {
    return {kFailed, Status::failed, "out of memory"};
  } catch (const std::exception& e) {
    return {kFailed, Status::failed, e.what()};
  } catch (...) {
    return {kFailed, Status::failed, "unknown exception"};
  }
}

/// Whether everything that went to standard output has arrived there. `error` is the errno of what was
/// printed last, if it is known: a buffer that was full may have been lost before the end.
Outcome outcome_of_printing(int error = 0) {
  const bool flushed = std::fflush(stdout) == 0;
  if (!flushed) error = errno;
  if (flushed && std::ferror(stdout) == 0) return {};
  return {kFailed, Status::failed, cat("standard output: ", error != 0 ? std::strerror(error) : "cannot be written")};
}

/// Runs the body as the owner of the log and finishes the log, whatever happens.
Outcome run_logged(RunLog& log, bool take_over, const std::function<void(RunLog&)>& body) {
  Outcome outcome;
  try {
    log.own(take_over);
    body(log);
    check_stop();
  } catch (...) {
    outcome = outcome_of_exception();
  }
  if (log.ended() || (!log.started() && outcome.code != kFinished)) return outcome;
  try {
    log.finish(outcome.status, one_line(outcome.reason));
  } catch (...) {
    if (outcome.code == kFinished) outcome = outcome_of_exception();
  }
  return outcome;
}

}  // namespace

bool stop_requested() { return stop_flag != 0; }

void check_stop() {
  if (stop_requested()) throw Interrupted();
}

double check_finite(std::string_view name, double value) {
  if (!std::isfinite(value)) throw Diverged(cat(name, " is ", value));
  return value;
}

int run(Args& args, int argc, const char* const* argv, const std::function<void(RunLog&)>& body,
        std::string_view real) {
  fill_standard_descriptors();
  install_signals();
  try {
    if (!args.parse(argc, argv)) {
      const std::string help = args.help();
      errno = 0;
      std::fputs(help.c_str(), stdout);
      const Outcome printed = outcome_of_printing(errno);
      if (printed.code != kFinished) complain(args, printed.reason);
      return printed.code;
    }
    active_kernels();  // a wrong name in the environment is found out before anything is written
  } catch (...) {
    const Outcome outcome = outcome_of_exception();
    complain(args, outcome.reason);
    return outcome.code;
  }
  say_so = !args.quiet();
  if (args.threads() != num_threads()) set_num_threads(args.threads());  // the default asks for nothing
  RunLog log(args.out(),
             {args.experiment(), args.command_line(), args.config(), args.seed(), args.threads(), std::string(real)});
  Outcome outcome = run_logged(log, args.take_over(), body);
  if (outcome.code == kFinished) outcome = outcome_of_printing();
  if (outcome.code != kFinished) complain(args, outcome.reason);
  return outcome.code;
}

}  // namespace coarsegrad::experiments
