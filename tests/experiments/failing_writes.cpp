// Preloaded into a writer: from the FAIL_FROM-th write to a file at a position on, the device is broken.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

extern "C" ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  static const long fail_from = std::atol(std::getenv("FAIL_FROM"));
  static std::atomic<long> count{0};
  if (++count >= fail_from) {
    errno = EIO;
    return -1;
  }
  static const auto real = reinterpret_cast<ssize_t (*)(int, const void*, size_t, off_t)>(dlsym(RTLD_NEXT, "pwrite"));
  return real(fd, data, bytes, offset);
}
