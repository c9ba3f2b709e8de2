#pragma once
// The names of all that a run keeps beside its log, made in one place, so that two outputs share a name only when they
// differ in nothing but .h5 and .hdf5.
#include <initializer_list>
#include <string>
#include <string_view>

namespace coarsegrad::experiments {

/// `out` without a final .h5 or .hdf5, then `ending`: "r/m0.05.h5" and ".json" give "r/m0.05.json". In
/// Python: base_name() of experiments/python/coarsegrad/logs.py.
std::string beside(std::string_view out, std::string_view ending);

/// The folder of the finished cells of a sweep: `out`.cells, nothing taken away.
std::string cells_folder(std::string_view out);

/// The hidden file that says who owns `out` (experiments/support/output_lock.h).
std::string lock_name(std::string_view out);

/// Throws UsageError when `out` is empty or names a folder ("r/"), or when it is too long for the temporary name of a
/// log or of beside(out, ending) for one of the endings; the message has the longest name that works.
void check_out(const std::string& out, std::initializer_list<std::string_view> endings = {});

}  // namespace coarsegrad::experiments
