#pragma once
// Names of files that appear at once or not at all.
#include <string>

namespace coarsegrad::experiments {

/// A hidden name beside `path` for this process to write under.
std::string temporary_name(const std::string& path);

/// Gives the file `from` the name `to`; what had that name is kept as `to`~. Throws Error; then `from` is
/// still there.
void move_into_place(const std::string& from, const std::string& to);

}  // namespace coarsegrad::experiments
