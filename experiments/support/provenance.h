#pragma once
// Where a run comes from: the build, the machine, the process.
#include <cstdint>
#include <string>

namespace coarsegrad::experiments {

/// Version of the project as of the last build: "0.2.0".
std::string build_version();
/// Commit that the program was built from, as of the last build: 40 hex digits, with "-dirty" when tracked files
/// differed; "unknown" when it was not built from a git checkout.
std::string build_commit();

/// Brand string of the processor.
std::string cpu_name();
/// OpenBLAS as it describes itself: version, options, core.
std::string blas_name();
/// Name of this machine, as the system knows it.
std::string host_name();
/// The time now as ISO 8601 UTC: "2026-01-31T12:00:00Z".
std::string utc_now();
/// Seconds since 1970 by the system's clock.
double unix_now();
/// Whether there is a process `pid` on this machine that still runs: one that has ended and only waits to be
/// reaped does not.
bool process_runs(std::int64_t pid);

}  // namespace coarsegrad::experiments
