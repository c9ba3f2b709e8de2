// Preloaded into a writer: it dies within a write, as a killed process does. The kernel looks at fatal
// signals between the pages of a write, so that what is left is cut at a page boundary of the file. TEAR_AT =
// n: the process ends at the n-th boundary that lies inside a write; with TEAR_CALLS set also the moments
// before each write, sync and rename count. TEAR_AT = 0: it lives, and at its end one line on stderr gives
// the number of these places, then the lengths of the writes that crossed a boundary.
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>

namespace {

constexpr off_t kPage = 4096;

struct Places {
  long count = 0;  // one thread at a time is inside HDF5
  std::set<size_t> lengths{};

  ~Places() {
    std::fprintf(stderr, "%ld", count);
    for (size_t length : lengths) std::fprintf(stderr, " %zu", length);
    std::fprintf(stderr, "\n");
  }
};

Places& places() {
  static Places all;
  return all;
}

/// Is this place the one?
bool due() {
  static const long tear_at = std::atol(std::getenv("TEAR_AT"));
  return ++places().count == tear_at;
}

void before_call() {
  static const bool wanted = std::getenv("TEAR_CALLS") != nullptr;
  if (wanted && due()) kill(getpid(), SIGKILL);
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  before_call();
  const off_t end = offset + static_cast<off_t>(bytes);
  for (off_t cut = (offset / kPage + 1) * kPage; cut < end; cut += kPage) {
    places().lengths.insert(bytes);
    if (!due()) continue;
    real(fd, data, static_cast<size_t>(cut - offset), offset);
    kill(getpid(), SIGKILL);
  }
  return real(fd, data, bytes, offset);
}

extern "C" int fsync(int fd) {
  static const auto real = next<int (*)(int)>("fsync");
  before_call();
  return real(fd);
}

extern "C" int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  before_call();
  return real(from, to);
}
