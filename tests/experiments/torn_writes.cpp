// Preloaded into a writer: it dies within a write, as a killed process does. The kernel looks at fatal
// signals between the pages of a write, so that what is left is cut at a page boundary of the file. TEAR_AT =
// n: the process ends at the n-th boundary that lies inside a write. TEAR_AT = 0: it lives, and at its end
// one line on stderr gives the number of boundaries, then the lengths of the writes that crossed them.
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>

namespace {

constexpr off_t kPage = 4096;

struct Crossings {
  long boundaries = 0;  // one thread at a time is inside HDF5
  std::set<size_t> lengths{};

  ~Crossings() {
    std::fprintf(stderr, "%ld", boundaries);
    for (size_t length : lengths) std::fprintf(stderr, " %zu", length);
    std::fprintf(stderr, "\n");
  }
};

}  // namespace

extern "C" ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  using Write = ssize_t (*)(int, const void*, size_t, off_t);
  static const auto real = reinterpret_cast<Write>(dlsym(RTLD_NEXT, "pwrite"));
  static const long tear_at = std::atol(std::getenv("TEAR_AT"));
  static Crossings crossings;
  const off_t end = offset + static_cast<off_t>(bytes);
  for (off_t cut = (offset / kPage + 1) * kPage; cut < end; cut += kPage) {
    crossings.lengths.insert(bytes);
    if (++crossings.boundaries != tear_at) continue;
    real(fd, data, static_cast<size_t>(cut - offset), offset);
    kill(getpid(), SIGKILL);
  }
  return real(fd, data, bytes, offset);
}
