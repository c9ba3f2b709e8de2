#include "experiments/support/disk_room.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/check.h"

namespace coarsegrad::experiments {
namespace {

constexpr std::uint64_t kStep = 1 << 20;  // reserve in steps, so that it costs a system call only now and then

/// 0, or the errno that growing the file from `from` to `to` bytes would meet.
int claim(int fd, std::uint64_t from, std::uint64_t to) {
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && to > limit.rlim_cur) return EFBIG;
  for (;;) {
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from), static_cast<off_t>(to - from)) == 0) return 0;
    if (errno != EINTR) break;
  }
  if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  struct statvfs space {};
  if (fstatvfs(fd, &space) != 0) return errno;
  return space.f_bavail * space.f_frsize < to - from ? ENOSPC : 0;
}

}  // namespace

DiskRoom::DiskRoom(const std::string& path, std::string name)
    : name_(std::move(name)), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  check(fd_ >= 0, "log ", name_, ": ", std::strerror(errno));
}

DiskRoom::~DiskRoom() { close(fd_); }

void DiskRoom::reserve(std::uint64_t bytes) {
  if (bytes <= reserved_) return;
  const std::uint64_t generous = (bytes / kStep + 1) * kStep;
  int error = claim(fd_, reserved_, generous);
  if (error == 0) {
    reserved_ = generous;
    return;
  }
  error = claim(fd_, reserved_, bytes);
  check(error == 0, "log ", name_, ": no room for ", bytes - reserved_, " more bytes: ", std::strerror(error));
  reserved_ = bytes;
}

void DiskRoom::trim() {
  struct stat now {};
  if (fstat(fd_, &now) == 0) reserved_ = ftruncate(fd_, now.st_size) == 0 ? 0 : reserved_;
}

}  // namespace coarsegrad::experiments
