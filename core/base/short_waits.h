#pragma once
// Included by the source of a main(): the threads of OpenMP wait for more work for some microseconds awake,
// then asleep, unless the environment says otherwise (OMP_WAIT_POLICY, GOMP_SPINCOUNT, KMP_BLOCKTIME). Their
// runtimes read the environment before main(), so it is set earlier still: a program's preinit_array runs
// before what initialises its libraries. A shared library has none; the linker refuses one that includes this.
#include <cstdlib>

namespace coarsegrad::detail {

/// Sets the environment, unless one of the variables is set already.
inline void ask_for_short_waits(int, char**, char**) {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})
    if (std::getenv(name)) return;
  setenv("GOMP_SPINCOUNT", "2000", 0);  // GNU: 20 to 80 microseconds
  setenv("KMP_BLOCKTIME", "1", 0);      // LLVM: milliseconds, and the least but none
}

/// What the loader calls before the libraries are initialised.
[[gnu::section(".preinit_array"), gnu::used]] static void (*const before_libraries)(int, char**,
                                                                                    char**) = ask_for_short_waits;

}  // namespace coarsegrad::detail
