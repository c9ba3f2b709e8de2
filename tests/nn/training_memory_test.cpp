// A training step that is warm asks the system for no memory: checked from inside the process, and once more
// from outside by tracing its system calls.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "tests/support/lenet_training.h"
#include "tests/support/sanitizers.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

// The address sanitizer has an allocator of its own, which keeps freed memory and maps what it likes: the
// pool's misses are all that can be checked then.
constexpr bool kSanitized = testing::kAddressSanitizer;
constexpr std::int64_t kBatch = 64, kSteps = 20, kLast = 37;

/// What a process has from the system.
struct Holdings {
  std::uint64_t pool_misses;
  void* heap_end;
  std::size_t mapped_by_malloc, mappings, mapped_bytes;
};

/// Number and bytes of the mappings in /proc/self/maps, read without any allocation.
void read_mappings(Holdings& h) {
  static std::array<char, 1 << 18> text;
  const int file = ::open("/proc/self/maps", O_RDONLY);
  REQUIRE(file >= 0);
  std::size_t length = 0;
  for (ssize_t n; (n = ::read(file, text.data() + length, text.size() - 1 - length)) > 0;)
    length += static_cast<std::size_t>(n);
  ::close(file);
  text[length] = 0;
  h.mappings = h.mapped_bytes = 0;
  for (char* line = text.data(); *line; line = std::strchr(line, '\n') + 1) {
    char* end = nullptr;
    const auto first = std::strtoull(line, &end, 16), last = std::strtoull(end + 1, nullptr, 16);
    ++h.mappings;
    h.mapped_bytes += last - first;
  }
}

Holdings holdings() {
  Holdings h{};
  h.pool_misses = pool_stats().misses;
  h.heap_end = ::sbrk(0);
  h.mapped_by_malloc = ::mallinfo2().hblkhd;
  read_mappings(h);
  return h;
}

/// A system call that a trace shows and that does nothing else.
void mark(const char* what) { static_cast<void>(::access(what, F_OK)); }

void check_steps(int bits) {
  if (active_kernels().real.matmul.lanes == 0) {
    MESSAGE(
        "skipped: the scalar table multiplies by OpenBLAS, which takes memory whenever a thread first needs "
        "it");
    return;
  }
  set_num_threads(2);
  LenetTraining training(bits, kSteps * kBatch + kLast, kBatch);
  for (int i = 1; i <= 3; ++i) training.step();
  const Holdings warm = holdings();
  mark("/coarsegrad/begin");
  // Steps 4 to 20, the smaller batch that ends the epoch, and the first two of the next one.
  for (std::int64_t i = 4; i <= kSteps + 3; ++i) {
    training.step();
    const Holdings now = holdings();
    INFO("step ", i);
    CHECK(now.pool_misses == warm.pool_misses);
    if (kSanitized) continue;
    CHECK(now.heap_end == warm.heap_end);
    CHECK(now.mapped_by_malloc == warm.mapped_by_malloc);
    CHECK(now.mappings == warm.mappings);
    CHECK(now.mapped_bytes == warm.mapped_bytes);
  }
  mark("/coarsegrad/end");
}

/// The calls of brk, mmap, mremap and munmap between the marks, one per line.
std::string calls_between_marks(const std::string& trace) {
  std::ifstream file(trace);
  std::string calls;
  bool inside = false, seen = false;
  for (std::string line; std::getline(file, line);) {
    if (line.find("/coarsegrad/") != std::string::npos) {
      inside = line.find("/begin") != std::string::npos;
      seen = true;
    } else if (inside) {
      calls += line + "\n";
    }
  }
  return seen ? calls : "no marks in " + trace;
}

/// What one test case of this executable calls between its marks, by strace; nothing where it may not trace.
std::optional<std::string> trace(const std::string& test_case) {
  if (kSanitized) {
    MESSAGE("skipped: the address sanitizer maps memory itself");
    return {};
  }
  const std::string file = std::filesystem::temp_directory_path() / ("coarsegrad-trace-" + std::to_string(::getpid()));
  const std::string strace = "strace -f -qq -e trace=brk,mmap,mremap,munmap,access -o " + file + " ";
  std::optional<std::string> calls;
  if (std::system((strace + "true > /dev/null 2>&1").c_str()) == 0) {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    CHECK(std::system((strace + "'" + self + "' --test-case='" + test_case + "' > /dev/null").c_str()) == 0);
    calls = calls_between_marks(file);
  } else {
    MESSAGE("skipped: strace is not installed or not allowed here");
  }
  std::filesystem::remove(file);
  return calls;
}

}  // namespace

TEST_CASE("LeNet-5 in float takes no memory from the system after step 3" * doctest::test_suite("long")) {
  check_steps(0);
}
TEST_CASE("LeNet-5 with 2-bit activations takes no memory from the system after step 3" * doctest::test_suite("long")) {
  check_steps(2);
}

TEST_CASE("a trace of the float training shows no brk, mmap, mremap or munmap after step 3" *
          doctest::test_suite("long")) {
  CHECK(trace("LeNet-5 in float takes no memory from the system after step 3").value_or("") == "");
}

TEST_CASE("a trace of the 2-bit training shows no brk, mmap, mremap or munmap after step 3" *
          doctest::test_suite("long")) {
  CHECK(trace("LeNet-5 with 2-bit activations takes no memory from the system after step 3").value_or("") == "");
}

TEST_CASE("memory that is taken is seen") {
  const Holdings before = holdings();
  mark("/coarsegrad/begin");
  const MemoryBlock block(std::size_t{100} << 20);
  mark("/coarsegrad/end");
  const Holdings after = holdings();
  CHECK(after.pool_misses > before.pool_misses);
  if (!kSanitized) CHECK(after.mapped_bytes > before.mapped_bytes);
}

TEST_CASE("memory that is taken is seen in a trace" * doctest::test_suite("native")) {
  const auto calls = trace("memory that is taken is seen");
  if (calls) CHECK(calls->find("mmap") != std::string::npos);
}
