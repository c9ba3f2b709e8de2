#include "core/base/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#include "core/base/check.h"
#include "core/base/float_control.h"

namespace coarsegrad {
namespace {

constexpr int kMaxThreads = 1024;

// As OpenMP counts them: those that the affinity mask allows, all where the system has more than a mask holds.
int processors() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
  return static_cast<int>(std::thread::hardware_concurrency());
}

int default_threads() {
  const char* wanted = std::getenv("OMP_NUM_THREADS");  // the name that every numerical library listens to
  const int n = wanted ? std::atoi(wanted) : 0;
  return std::clamp(n > 0 ? n : processors(), 1, kMaxThreads);
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_threads()};
  return count;
}

// Waits until the condition holds: for some microseconds actively, since the next piece of a training step
// usually follows at once, then asleep. (Spinning for ever, as OpenMP runtimes do by default, made a training
// step ten times slower as soon as another process wanted one of the processors.)
template <class Condition>
void wait_until(const std::atomic<std::uint64_t>& word, Condition condition) {
  constexpr int kSpins = 2000;
  for (int i = 0; i < kSpins; ++i) {
    if (condition(word.load(std::memory_order_acquire))) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  for (std::uint64_t value = word.load(std::memory_order_acquire); !condition(value);
       value = word.load(std::memory_order_acquire))
    word.wait(value, std::memory_order_acquire);
}

thread_local int thread_of_region = -1;

// The caller and the workers take tasks of one region from a common counter. A worker that wakes up too late
// finds the region closed and is not waited for.
class Team {
 public:
  // False when another thread has the team: the caller then does its tasks alone.
  bool run(std::int64_t tasks, void (*call)(void*, std::int64_t), void* context, int threads) {
    const std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return false;
    for (; workers_ < threads - 1; ++workers_) std::thread(&Team::work, this, workers_).detach();
    tasks_ = tasks;
    call_ = call;
    context_ = context;
    next_ = 0;
    first_error_ = nullptr;
    helpers_wanted_ = threads - 1;
    const std::uint64_t open = (generation(state_.load(std::memory_order_relaxed)) + 1) << kGenerationShift;
    state_.store(open, std::memory_order_release);
    state_.notify_all();
    take_tasks(0);
    state_.fetch_or(kClosed, std::memory_order_acq_rel);
    wait_until(state_, [](std::uint64_t s) { return (s & kInside) == 0; });
    if (first_error_) std::rethrow_exception(first_error_);
    return true;
  }

 private:
  // One word says it all: generation of the region | closed | number of workers inside.
  static constexpr int kGenerationShift = 32;
  static constexpr std::uint64_t kClosed = std::uint64_t{1} << 31, kInside = kClosed - 1;
  static std::uint64_t generation(std::uint64_t state) { return state >> kGenerationShift; }

  void take_tasks(int thread) {
    thread_of_region = thread;
    const FlushDenormals flush;
    for (std::int64_t t; (t = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) {
      try {
        call_(context_, t);
      } catch (...) {
        const std::lock_guard lock(error_mutex_);
        if (!first_error_) first_error_ = std::current_exception();
      }
    }
    thread_of_region = -1;
  }

  bool enter(int index, std::uint64_t seen) {
    std::uint64_t s = state_.load(std::memory_order_acquire);
    while (generation(s) == seen && !(s & kClosed) && index < helpers_wanted_)
      if (state_.compare_exchange_weak(s, s + 1, std::memory_order_acq_rel)) return true;
    return false;
  }

  void work(int index) {
    for (std::uint64_t seen = 0;;) {
      wait_until(state_, [seen](std::uint64_t s) { return generation(s) != seen; });
      seen = generation(state_.load(std::memory_order_acquire));
      if (!enter(index, seen)) continue;
      take_tasks(index + 1);
      const std::uint64_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
      if ((before & kClosed) && (before & kInside) == 1) state_.notify_all();
    }
  }

  std::mutex busy_, error_mutex_;
  std::atomic<std::uint64_t> state_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> helpers_wanted_{0};
  std::int64_t tasks_ = 0;
  void (*call_)(void*, std::int64_t) = nullptr;
  void* context_ = nullptr;
  std::exception_ptr first_error_;
  int workers_ = 0;
};

// Never destroyed: its workers sleep until the process ends. A fork copies the team but not its workers, so
// the child begins with a new one.
std::atomic<Team*>& team() {
  static std::atomic<Team*> current = [] {
    const int error = pthread_atfork(nullptr, nullptr, [] { team() = new Team; });
    check(error == 0, "parallel_for: given a process that cannot take note of forks, error ", error,
          ", expected memory for that");
    return new Team;
  }();
  return current;
}

}  // namespace

int num_threads() { return thread_count(); }
int thread_in_region() { return thread_of_region; }

void set_num_threads(int n) {
  check(n >= 1 && n <= kMaxThreads, "set_num_threads: given ", n, ", expected 1 to ", kMaxThreads);
  thread_count() = n;
}

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
  if (tasks <= 0) return;
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads(), tasks));
  if (threads > 1 && thread_of_region < 0 &&
      team().load(std::memory_order_relaxed)->run(tasks, call, context, threads))
    return;
  const FlushDenormals flush;
  for (std::int64_t t = 0; t < tasks; ++t) call(context, t);
}

}  // namespace detail
}  // namespace coarsegrad
