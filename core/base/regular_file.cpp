#include "core/base/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/check.h"

namespace coarsegrad {

// O_NONBLOCK: a pipe would wait here for somebody who writes into it.
RegularFile::RegularFile(const std::filesystem::path& path, std::string lead)
    : lead_(std::move(lead)), descriptor_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  const int opened = descriptor_ >= 0 ? 0 : errno;
  check(opened == 0 || opened == ENXIO, lead_, "cannot be opened: ", std::strerror(opened));
  struct stat status {};
  const bool regular = opened == 0 && ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular && opened == 0) ::close(descriptor_);
  check(regular, lead_, "is not a regular file");
  size_ = static_cast<std::uint64_t>(status.st_size);
}

RegularFile::~RegularFile() { ::close(descriptor_); }

void RegularFile::read(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n = ::read(descriptor_, out.data(), out.size());
    const int error = n < 0 ? errno : 0;
    if (error == EINTR) continue;
    check(error == 0, lead_, "cannot be read: ", std::strerror(error));
    check(n > 0, lead_, "ends before its ", size_, " bytes");
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

void RegularFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    const int error = n < 0 ? errno : 0;
    if (error == EINTR) continue;
    check(error == 0, lead_, "cannot be read: ", std::strerror(error));
    check(n > 0, lead_, "ends before its ", size_, " bytes");
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

std::string read_regular_file(const std::filesystem::path& path, const std::string& lead) {
  RegularFile file(path, lead);
  std::string content(file.size(), '\0');
  file.read(std::as_writable_bytes(std::span(content)));
  return content;
}

}  // namespace coarsegrad
