# Writes OUT, a source file with the version and the commit of SOURCE. Runs with every build and takes a few
# milliseconds; the file is touched only when its text changes, so that nothing else is compiled again.
set(commit unknown)
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT} -C ${SOURCE} describe --always --dirty --abbrev=40 --exclude=*
                  OUTPUT_VARIABLE described RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed)
    set(commit ${described})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
#include "experiments/support/provenance.h"

namespace coarsegrad::experiments {
std::string build_version() { return "@VERSION@"; }
std::string build_commit() { return "@commit@"; }
}  // namespace coarsegrad::experiments
]] @ONLY)
