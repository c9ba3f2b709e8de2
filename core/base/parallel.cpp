#include "core/base/parallel.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/float_control.h"

namespace coarsegrad {
namespace {

constexpr int kMaxThreads = 1024;

struct ThreadCount {
  std::atomic<int> threads{std::clamp(std::min(omp_get_max_threads(), omp_get_thread_limit()), 1, kMaxThreads)};
  std::atomic<bool> asked_for{false};
};

ThreadCount& thread_count() {
  static ThreadCount count;
  return count;
}

thread_local int thread_of_region = -1;
// How many threads OpenMP keeps for this thread, itself included: as many as its last region had.
thread_local int team = 1;
// One region at a time has a team; its threads' numbers are theirs alone.
std::atomic_flag team_is_busy;

std::atomic<void (*)()> release_of_thread{nullptr};
// Shares of tasks that this thread works at: more than one where calls are nested.
thread_local int shares = 0;

// What a thread's share of some tasks needs of the processor, and gives back.
class ThreadMode {
 public:
  ThreadMode() { ++shares; }
  ~ThreadMode() {
    void (*const release)() = release_of_thread.load(std::memory_order_relaxed);
    if (--shares == 0 && release) release();
  }
  ThreadMode(const ThreadMode&) = delete;
  ThreadMode& operator=(const ThreadMode&) = delete;

 private:
  const FlushDenormals flush_;
};

// The system's own count, which its limits are about: a thread that was joined may still be among
// them for a moment.
std::uintmax_t threads_of_process() {
  std::error_code unknown;
  return std::filesystem::hard_link_count("/proc/self/task", unknown);
}

// How many of `wanted` threads can be started beside those that there are. They have ended when this returns.
int startable(int wanted) {
  constexpr int kPatience = 1000;
  const std::uintmax_t before = threads_of_process();
  std::mutex until_all_are_there;
  std::vector<std::thread> started;
  started.reserve(static_cast<std::size_t>(wanted));
  {
    const std::lock_guard wait(until_all_are_there);
    try {
      for (int i = 0; i < wanted; ++i)
        started.emplace_back([&until_all_are_there] { const std::lock_guard end(until_all_are_there); });
    } catch (const std::exception&) {
      // A limit is reached: that of threads, or of memory for their stacks.
    }
  }
  for (std::thread& thread : started) thread.join();
  for (int i = 0; i < kPatience && threads_of_process() > before; ++i)
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  return static_cast<int>(started.size());
}

// Threads for the next region of this thread. OpenMP ends the process when it cannot start one, so they are
// tried first.
int threads_to_be_had() {
  const int threads = std::min(num_threads(), omp_get_thread_limit());
  if (threads > team) {
    const int others = startable(threads - team);
    if (team + others < threads) {
      check(!thread_count().asked_for, "parallel_for: given ", threads, " threads, expected at most ", team + others,
            ", which is what can be started here");
      thread_count().threads = 1;
      return 1;
    }
  }
  team = threads;
  return threads;
}

// GNU's OpenMP waits for ever for the threads that a forked process does not have; those that it has let go
// before the fork it does not miss.
void prepare_fork() {
  if (thread_of_region >= 0) return;
  omp_pause_resource_all(omp_pause_soft);
  team = 1;
}

// Registered before there are threads: another one that registered it in front of its first tasks could be in the midst
// of that, or of those, when this one forks.
const int error_of_registration = pthread_atfork(prepare_fork, nullptr, [] { team_is_busy.clear(); });

void share_tasks(std::int64_t tasks, void (*call)(void*, std::int64_t), void* context, int threads) {
  std::exception_ptr first_error;
#pragma omp parallel num_threads(threads)
  {
    const ThreadMode mode;
    thread_of_region = omp_get_thread_num();
#pragma omp for schedule(dynamic) nowait
    for (std::int64_t t = 0; t < tasks; ++t) {
      try {
        call(context, t);
      } catch (...) {
#pragma omp critical(coarsegrad_first_error)
        if (!first_error) first_error = std::current_exception();
      }
    }
    thread_of_region = -1;
  }
  if (first_error) std::rethrow_exception(first_error);
}

// False where the tasks are for this thread alone.
bool shared(std::int64_t tasks, void (*call)(void*, std::int64_t), void* context) {
  if (tasks == 1 || thread_of_region >= 0 || num_threads() == 1) return false;
  if (team_is_busy.test_and_set(std::memory_order_acquire)) return false;
  struct Busy {
    ~Busy() { team_is_busy.clear(std::memory_order_release); }
  } const busy;
  check(error_of_registration == 0, "parallel_for: given a process that cannot take note of forks, error ",
        error_of_registration, ", expected memory for that");
  // Also where there are fewer tasks: a smaller team costs GNU's OpenMP the threads that it leaves out.
  const int threads = threads_to_be_had();
  if (threads == 1) return false;
  share_tasks(tasks, call, context, threads);
  return true;
}

}  // namespace

int num_threads() { return thread_count().threads; }
int thread_in_region() { return thread_of_region; }

void set_num_threads(int n) {
  check(n >= 1 && n <= kMaxThreads, "set_num_threads: given ", n, ", expected 1 to ", kMaxThreads);
  thread_count().threads = n;
  thread_count().asked_for = true;
}

void at_end_of_tasks(void (*release)()) { release_of_thread = release; }

FlushDenormals::FlushDenormals() : saved_(float_control::read()) {
  float_control::write(saved_ | float_control::kFlush);
}

// Only the two mode bits are restored: exception flags raised meanwhile stay raised.
FlushDenormals::~FlushDenormals() {
  using float_control::kFlush;
  float_control::write((float_control::read() & ~kFlush) | (saved_ & kFlush));
}

namespace detail {

void run_tasks(std::int64_t tasks, void (*call)(void*, std::int64_t), void* context) {
  if (tasks <= 0 || shared(tasks, call, context)) return;
  const ThreadMode mode;
  for (std::int64_t t = 0; t < tasks; ++t) call(context, t);
}

}  // namespace detail
}  // namespace coarsegrad
