#include "core/base/parallel.h"

#include <omp.h>
#include <xmmintrin.h>

#include <exception>

#include "core/base/check.h"

namespace coarsegrad {
namespace {
constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
int threads_wanted = 0;  // 0: not set yet
}  // namespace

int num_threads() { return threads_wanted > 0 ? threads_wanted : omp_get_max_threads(); }

void set_num_threads(int n) {
  check(n >= 1 && n <= 1024, "set_num_threads: given ", n, ", expected 1 to 1024");
  threads_wanted = n;
}

FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
}

// Only the two mode bits are restored: exception flags raised meanwhile stay raised.
FlushDenormals::~FlushDenormals() {
  constexpr unsigned mode = kFlushToZero | kDenormalsAreZero;
  _mm_setcsr((_mm_getcsr() & ~mode) | (saved_ & mode));
}

namespace detail {

void run_tasks(std::int64_t tasks, void (*call)(void*, std::int64_t), void* context) {
  if (tasks <= 0) return;
  if (tasks == 1 || num_threads() == 1 || omp_in_parallel()) {
    const FlushDenormals flush;
    for (std::int64_t t = 0; t < tasks; ++t) call(context, t);
    return;
  }
  std::exception_ptr first;
#pragma omp parallel num_threads(num_threads())
  {
    const FlushDenormals flush;
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t t = 0; t < tasks; ++t) {
      try {
        call(context, t);
      } catch (...) {
#pragma omp critical(coarsegrad_first_exception)
        if (!first) first = std::current_exception();
      }
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace detail
}  // namespace coarsegrad
