#pragma once
// Names of files that appear at once or not at all.
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace coarsegrad::experiments {

/// A hidden name beside `path` for this process to write under: .NAME.PID.tmp.
std::string temporary_name(const std::string& path);
/// The most bytes by which temporary_name() is longer than the name that it stands for.
inline constexpr std::size_t kTemporaryAddition = std::string_view("..4194304.tmp").size();

/// Removes what killed processes have left under temporary_name(path). A process that still writes there
/// keeps its file: it holds a lock on it, or is one of this host.
void remove_leftovers(const std::string& path);

/// Throws Error unless a file can be written at `path`: there is nothing but perhaps a regular file, and the folder,
/// if it is there, can be written to. Called before long work whose result will be written there.
void check_place(const std::filesystem::path& path);

/// Gives the file `from` the name `to`; what had that name is kept as `to`~. Throws Error when it cannot, and `from` is
/// still there then.
void move_into_place(const std::string& from, const std::string& to);

/// Gives the file `from` the name `to` in place of what had that name. The contents are on the disk before the name,
/// and the name before this returns. Throws Error when it cannot; what had the name still has it then.
void replace_file(const std::string& from, const std::string& to);

/// Returns when the contents of the file, and its name, are on the disk. Throws Error when they do not get there.
void sync_file(const std::string& path);

}  // namespace coarsegrad::experiments
