#include "experiments/support/provenance.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace coarsegrad::experiments;

TEST_CASE("a process runs until it ends, whether it was reaped or not") {
  CHECK(process_runs(getpid()));
  CHECK(process_runs(getppid()));
  CHECK(!process_runs(0));
  CHECK(!process_runs(-1));
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info{};
  REQUIRE(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);  // it has ended, but is still there
  CHECK(kill(child, 0) == 0);
  CHECK(!process_runs(child));
  REQUIRE(waitpid(child, nullptr, 0) == child);
  CHECK(!process_runs(child));
}
