#pragma once
// A child process for what happens after a fork.
#include <sys/wait.h>
#include <unistd.h>

namespace coarsegrad::testing {

/// What run() returns in a forked child; -1 when the child has not ended by itself after 60 seconds.
template <class Run>
int in_child(Run run) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(run());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace coarsegrad::testing
