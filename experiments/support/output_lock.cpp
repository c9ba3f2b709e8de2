#include "experiments/support/output_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <thread>

#include "core/base/check.h"
#include "experiments/support/output_name.h"
#include "experiments/support/provenance.h"
#include "experiments/support/run_file.h"

namespace coarsegrad::experiments {
namespace {

namespace fs = std::filesystem;

// Between its opening and its locking the file may have gone with its owner, and a folder with it.
constexpr int kAttempts = 100;

bool locks_are_renounced() {
  const char* value = std::getenv("HDF5_USE_FILE_LOCKING");
  return value != nullptr && std::string_view(value) == "FALSE";
}

/// The same file as `fd`, asked of the file system anew: an open() goes past what NFS remembers of a name.
bool still_named(int fd, const fs::path& path) {
  const int again = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (again < 0) return false;
  struct stat a {
  }, b{};
  const bool found = fstat(fd, &a) == 0 && fstat(again, &b) == 0;
  close(again);
  return found && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// The text of the lock's file. Its owner writes it right after taking the lock, unless the disk is full.
std::string text_in(int fd) {
  std::array<char, 300> bytes{};
  ssize_t n = 0;
  for (int attempt = 0; n <= 0 && attempt < kAttempts; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    n = pread(fd, bytes.data(), bytes.size(), 0);
  }
  return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

/// "process PID on HOST" when that stands in the lock, "another process" for anything else.
std::string owner_in(int fd) {
  std::string unknown = "another process";
  const std::string all = text_in(fd);
  const std::string_view text = all;
  const std::string_view line = text.substr(0, text.find('\n'));
  std::int64_t pid = 0;
  const auto [end, error] = std::from_chars(line.begin(), line.end(), pid);
  if (error != std::errc() || end == line.end() || *end != ' ') return unknown;
  const std::string_view host(end + 1, line.end());
  const bool plain = host.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789-_.") == std::string_view::npos;
  return plain ? cat("process ", pid, " on ", host) : unknown;
}

}  // namespace

OutputLock::OutputLock(std::string out, bool take_over) : out_(std::move(out)), file_(lock_name(out_)) {
  try {
    acquire(take_over);
  } catch (...) {
    release();
    throw;
  }
}

OutputLock::~OutputLock() { release(); }

void OutputLock::acquire(bool take_over) {
  for (int attempt = 1; !owned_; ++attempt) {
    make_folders();
    owned_ = try_to_own(take_over);
    check(owned_ || attempt < kAttempts, "log ", out_, ": ", std::strerror(ENOENT));
  }
  const std::string self = cat(getpid(), " ", host_name(), "\n");
  // Only for people: a disk without room for it does no harm.
  if (ftruncate(fd_, 0) != 0 || pwrite(fd_, self.data(), self.size(), 0) < 0) return;
}

/// False when the file or its folder has gone meanwhile.
bool OutputLock::try_to_own(bool take_over) {
  const bool made = open_file();
  if (fd_ < 0) return false;
  int error = EINTR;
  while (error == EINTR) error = flock(fd_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  if (error == 0) return still_named(fd_, file_);
  if (error == EWOULDBLOCK) throw Error(cat("log ", out_, ": is being written by ", owner_in(fd_)));
  if (made && locks_are_renounced()) return true;
  if (made) unlink(file_.c_str());
  check(locks_are_renounced(), "log ", out_, ": the file system has no locks (", std::strerror(error),
        "); with HDF5_USE_FILE_LOCKING=FALSE in the environment it is written without");
  if (!take_over) refuse_without_locks();
  unlink(file_.c_str());
  return false;
}

/// Whether the file is new.
bool OutputLock::open_file() {
  if (fd_ >= 0) close(fd_);
  fd_ = open(file_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  const bool made = fd_ >= 0;
  if (!made && errno == EEXIST) fd_ = open(file_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  check(fd_ >= 0 || errno == ENOENT, "log ", out_, ": ", std::strerror(errno));
  return made;
}

void OutputLock::refuse_without_locks() const {
  const auto log = RunFile::peek(out_);
  const auto age = log ? static_cast<std::int64_t>(unix_now() - log->heartbeat) : 0;
  throw Error(cat("log ", out_, ": belongs to ", owner_in(fd_),
                  log ? cat(", whose last sign of life is ", age, " s old") : "",
                  "; the file system has no locks that could tell whether that still runs, expected ",
                  "--take-over if it does not"));
}

void OutputLock::make_folders() {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path folder = file_.parent_path(); !folder.empty() && !fs::exists(folder, error) && !error;
       folder = folder.parent_path())
    missing.push_back(folder);
  for (auto folder = missing.rbegin(); folder != missing.rend() && !error; ++folder)
    if (fs::create_directory(*folder, error)) made_folders_.push_back(*folder);
  check(!error, "log ", out_, ": cannot make its folder: ", error.message());
}

void OutputLock::release() {
  if (owned_) unlink(file_.c_str());
  if (fd_ >= 0) close(fd_);
  for (auto folder = made_folders_.rbegin(); folder != made_folders_.rend(); ++folder) rmdir(folder->c_str());
}

}  // namespace coarsegrad::experiments
