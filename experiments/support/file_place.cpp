#include "experiments/support/file_place.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/base/check.h"
#include "experiments/support/provenance.h"

namespace coarsegrad::experiments {

namespace fs = std::filesystem;

namespace {

void sync(const fs::path& path, int flags) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  check(fd >= 0, path.string(), ": ", std::strerror(errno));
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  check(error == 0, path.string(), ": cannot be synced: ", std::strerror(error));
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : "."; }

void sync_folder_of(const std::string& path) { sync(folder_of(path), O_DIRECTORY); }

constexpr std::string_view kTemporaryEnd = ".tmp";

std::string temporary_lead(const fs::path& path) { return cat(".", path.filename().string(), "."); }

/// Whether a process that still runs writes the file.
bool is_held(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return false;
  const bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return held;
}

}  // namespace

std::string temporary_name(const std::string& path) {
  const fs::path p(path);
  return (p.parent_path() / cat(temporary_lead(p), getpid(), kTemporaryEnd)).string();
}

void remove_leftovers(const std::string& path) {
  const std::string lead = temporary_lead(path);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_of(path), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(lead) || !name.ends_with(kTemporaryEnd)) continue;
    pid_t pid = 0;
    const char* const end = name.data() + name.size() - kTemporaryEnd.size();
    const bool written_by_us = std::from_chars(name.data() + lead.size(), end, pid).ptr == end && pid > 0;
    if (written_by_us && !process_runs(pid) && !is_held(entry.path())) fs::remove(entry.path(), ignored);
  }
}

void check_place(const fs::path& path) {
  std::error_code error;
  const fs::file_status there = fs::status(path, error);
  const std::string name = path.string();
  check(!fs::is_directory(there), name, ": is there already and is no regular file: Is a directory");
  check(there.type() != fs::file_type::none, name, ": ", error.message());
  check(!fs::exists(there) || fs::is_regular_file(there), name, ": is there already and is no regular file");
  check(fs::exists(there) || !fs::is_symlink(fs::symlink_status(path, error)), name,
        ": is a symbolic link that leads nowhere");
  const fs::path folder = folder_of(path);
  const bool writable = access((folder / ".").c_str(), W_OK | X_OK) == 0 || errno == ENOENT;
  check(writable, folder.string(), ": ", std::strerror(errno));
}

// Two processes that start at once cannot overwrite each other: the name must be free when it is taken.
void move_into_place(const std::string& from, const std::string& to) {
  std::error_code error;
  if (fs::exists(to, error)) fs::rename(to, to + "~", error);
  check(!error, to, ": cannot be kept as ", to, "~: ", error.message());
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  const bool unsupported = errno == EINVAL || errno == ENOSYS;  // by this file system
  const bool moved = unsupported && rename(from.c_str(), to.c_str()) == 0;
  check(moved, to, ": ", std::strerror(errno));
}

void replace_file(const std::string& from, const std::string& to) {
  sync(from, 0);
  const bool moved = rename(from.c_str(), to.c_str()) == 0;
  check(moved, to, ": ", std::strerror(errno));
  sync_folder_of(to);
}

void sync_file(const std::string& path) {
  sync(path, 0);
  sync_folder_of(path);
}

}  // namespace coarsegrad::experiments
