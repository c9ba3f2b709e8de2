# Script of ctest: how long the threads of OpenMP wait awake, unless the environment says it already. Tests run beside
# each other on more threads than there are processors, and a thread that waits awake keeps the one that it waits for
# from its processor: with milliseconds, tests of many small regions took ten times as long.
foreach(variable OMP_WAIT_POLICY GOMP_SPINCOUNT KMP_BLOCKTIME)
  if(DEFINED ENV{${variable}})
    return()
  endif()
endforeach()
set(ENV{GOMP_SPINCOUNT} 2000)  # GNU: some microseconds
set(ENV{KMP_BLOCKTIME} 1)      # LLVM: milliseconds, and the least but none
