// What the library does to threads that are not its own, and says about those that it cannot have. In a
// program of its own, since OpenBLAS keeps its threads for the whole process.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/gemm.h"

extern "C" void openblas_set_num_threads(int threads);
extern "C" int openblas_get_num_threads();

using namespace coarsegrad;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kLimits = false;  // its shadow memory is beyond every limit
#else
constexpr bool kLimits = true;
#endif

// Leaves this process so much more address space than it has now, until the end of the scope.
class AddressSpace {
 public:
  explicit AddressSpace(rlim_t more) {
    getrlimit(RLIMIT_AS, &before_);
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit limit{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + more, before_.rlim_max};
    setrlimit(RLIMIT_AS, &limit);
  }
  ~AddressSpace() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a product in double leaves OpenBLAS the threads that the program gave it" *
          doctest::should_fail()) {
  openblas_set_num_threads(2);
  const double one = 1;
  double c = 0;
  gemm<double>(1, 1, 1, {&one, 1}, {&one, 1}, &c, 1);
  CHECK(openblas_get_num_threads() == 2);
}

TEST_CASE("where threads cannot be started the error says how many were asked for and how many there are" *
          doctest::should_fail(kLimits)) {
  if (!kLimits) {
    MESSAGE("skipped: the sanitizers need more memory than the limit leaves");
    return;
  }
  const AddressSpace little(rlim_t{20} << 20);  // two stacks
  const int before = num_threads();
  set_num_threads(64);
  CHECK_THROWS_WITH_AS(parallel_for(64, [](std::int64_t) {}), doctest::Contains("given 64 threads"), Error);
  set_num_threads(before);
}
