#pragma once
// Included by the source of a main(): the threads of OpenMP wait for more work for less than a millisecond awake, then
// asleep, unless the environment says otherwise (OMP_WAIT_POLICY, GOMP_SPINCOUNT, KMP_BLOCKTIME). Their runtimes read
// the environment when they are loaded, before main(), and the C library takes it from the kernel once more when it
// is: what a program sets there itself is not heard. So a program whose environment says nothing executes itself once
// again with one that does, before anything else of it has begun (its preinit_array), in about a millisecond. Where
// that fails, it goes on as it was. A shared library has no preinit_array; the linker refuses one that includes this.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

namespace coarsegrad::detail {

/// The environment of the second execution.
inline char* environment_with_short_waits[4096];
/// The file of the program.
inline char file_of_program[4096];

/// Executes the program again with its arguments and the environment that asks for short waits; returns where that
/// fails, or where there is nothing to ask for. Sanitizers have not begun yet when this runs.
__attribute__((no_sanitize("address", "undefined"))) inline void ask_for_short_waits(int, char** argv,
                                                                                     char** environment) {
  // GNU's turns, which take 0.4 to 0.8 ms. Its default, 15 times as many, was 0 to 3 % faster in trainings alone on two
  // processors; beside two more of them, a LeNet-5 was trained at a fifth of the speed, and images one by one went
  // through a packed network at a tenth. With 2,000 turns a training alone lost 5 %.
  static char gnu[] = "GOMP_SPINCOUNT=20000";
  static char llvm[] = "KMP_BLOCKTIME=1";  // milliseconds, and the least but none
  constexpr std::size_t most = sizeof environment_with_short_waits / sizeof *environment_with_short_waits - 3;
  std::size_t n = 0;
  for (; environment[n]; ++n) {
    for (const char* name : {"OMP_WAIT_POLICY=", "GOMP_SPINCOUNT=", "KMP_BLOCKTIME="})
      if (std::strncmp(environment[n], name, std::strlen(name)) == 0) return;
    if (n == most) return;
    environment_with_short_waits[n] = environment[n];
  }
  environment_with_short_waits[n] = gnu;
  environment_with_short_waits[n + 1] = llvm;
  const long length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", file_of_program, sizeof file_of_program - 1);
  if (length > 0) syscall(SYS_execve, file_of_program, argv, environment_with_short_waits);
}

/// What the loader calls before the libraries are initialised.
[[gnu::section(".preinit_array"), gnu::used]] static void (*const before_libraries)(int, char**,
                                                                                    char**) = ask_for_short_waits;

}  // namespace coarsegrad::detail
