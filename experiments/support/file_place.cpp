#include "experiments/support/file_place.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/base/check.h"

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

void sync_folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  sync(folder.empty() ? "." : folder, O_DIRECTORY);
}

}  // namespace

std::string temporary_name(const std::string& path) {
  const fs::path p(path);
  return (p.parent_path() / cat(".", p.filename().string(), ".", getpid(), ".tmp")).string();
}

// Two processes that start at once cannot overwrite each other: the name must be free when it is taken.
void move_into_place(const std::string& from, const std::string& to) {
  std::error_code error;
  if (fs::exists(to, error)) fs::rename(to, to + "~", error);
  check(!error, to, ": cannot be kept as ", to, "~: ", error.message());
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  const bool unsupported = errno == EINVAL || errno == ENOSYS;  // by this file system
  check(unsupported && rename(from.c_str(), to.c_str()) == 0, to, ": ", std::strerror(errno));
}

void replace_file(const std::string& from, const std::string& to) {
  sync(from, 0);
  check(rename(from.c_str(), to.c_str()) == 0, to, ": ", std::strerror(errno));
  sync_folder_of(to);
}

void sync_file(const std::string& path) {
  sync(path, 0);
  sync_folder_of(path);
}

}  // namespace coarsegrad::experiments
