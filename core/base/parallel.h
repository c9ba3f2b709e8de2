#pragma once
// Threads, which are OpenMP's. Work is cut into tasks by its shape alone, never by the number of threads, so
// results do not depend on it.
//
// OpenMP's threads wait for more work awake, then asleep; how long is read from the environment before
// main(). What is read by default (GNU: milliseconds, LLVM: 200 of them) suits threads that have a processor
// each. Where other processes wanted the processors, too, regions of 0.2 ms took 2 to 20 times as long as
// with waits of microseconds, and longer than on one thread. core/base/short_waits.h, included by the source
// of a main(), asks for short ones, by executing the program once again; experiments::run() has it. A library cannot:
// set GOMP_SPINCOUNT=20000 (GNU), KMP_BLOCKTIME=1 (LLVM) or OMP_WAIT_POLICY=passive where a program does not.
#include <cstdint>
#include <memory>
#include <type_traits>

namespace coarsegrad {

/// Threads used by parallel_for, 1 to 1024. Default: OpenMP's, which is OMP_NUM_THREADS or else the
/// processors in the affinity mask, and no more than OMP_THREAD_LIMIT.
int num_threads();
/// Sets num_threads() of the process; throws Error unless 1 <= n <= 1024. Whoever asks for n threads gets them, or an
/// Error from parallel_for that says how many can be started. Where nobody has asked and the default number cannot be
/// started, it becomes 1. OpenMP may give less (OMP_THREAD_LIMIT, OMP_DYNAMIC).
void set_num_threads(int n);
/// Number of this thread, 0 or more, among those that share the tasks of a parallel_for; -1 outside of tasks,
/// and in tasks that are not shared.
int thread_in_region();

/// Turns flush-to-zero and denormals-are-zero on in this thread and restores the mode when it goes out of
/// scope. Training steps were measured 6 to 9 times slower without it. parallel_for holds one in each worker.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  /// Not copied: each scope restores the mode that it has found.
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

/// Has each thread call `release` when its share of the tasks of an outermost parallel_for is done, to give back what
/// it holds of the processor for them; null for nothing to be called. There is one such function in a process. Not to
/// be called while tasks run.
void at_end_of_tasks(void (*release)());

namespace detail {
/// parallel_for() of the function `call`, which is handed `context` with each task.
void run_tasks(std::int64_t tasks, void (*call)(void* context, std::int64_t task), void* context);
}  // namespace detail

/// Calls f(task) once for each task in [0, tasks), on any thread, in any order; returns when all are done. A
/// task must write only what no other task touches. The first exception is rethrown here. Nested calls run
/// serially, and so do those that another user thread makes meanwhile. A forked process has threads of its
/// own: those that OpenMP keeps for the thread that forks end before, and either process starts new ones when
/// it needs them. (In a child that was forked by a task calls run serially.) Throws Error where the threads
/// that set_num_threads() asked for cannot be started.
template <class F>
void parallel_for(std::int64_t tasks, F&& f) {
  using Body = std::remove_reference_t<F>;
  detail::run_tasks(
      tasks, [](void* context, std::int64_t task) { (*static_cast<Body*>(context))(task); },
      const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

/// The items [begin, end) of a task.
struct TaskRange {
  std::int64_t begin,  ///< first item
      end;             ///< one behind the last item
};
/// The items of part `part` when n items are cut into `parts` nearly equal contiguous parts.
constexpr TaskRange part_of(std::int64_t n, std::int64_t parts, std::int64_t part) {
  return {n * part / parts, n * (part + 1) / parts};
}

/// Calls f(begin, end) once for each of the ranges [0, step), [step, 2 step), ... that n items fall into.
template <class F>
void parallel_ranges(std::int64_t n, std::int64_t step, F&& f) {
  parallel_for((n + step - 1) / step, [&](std::int64_t t) { f(t * step, (t + 1) * step < n ? (t + 1) * step : n); });
}

/// Elements that a task of a sweep over memory should have: enough to be worth starting, few enough to stay
/// in the second-level cache.
inline constexpr std::int64_t kTaskElements = std::int64_t{1} << 15;

}  // namespace coarsegrad
