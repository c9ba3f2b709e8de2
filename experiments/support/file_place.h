#pragma once
// Names of files that appear at once or not at all.
#include <string>

namespace coarsegrad::experiments {

/// A hidden name beside `path` for this process to write under.
std::string temporary_name(const std::string& path);

/// Gives the file `from` the name `to`; what had that name is kept as `to`~. Throws Error; then `from` is
/// still there.
void move_into_place(const std::string& from, const std::string& to);

/// Gives the file `from` the name `to` in place of what had that name. The contents are on the disk before
/// the name, and the name before this returns. Throws Error; then what had the name has it still.
void replace_file(const std::string& from, const std::string& to);

/// Returns when the contents of the file, and its name, are on the disk. Throws Error.
void sync_file(const std::string& path);

}  // namespace coarsegrad::experiments
