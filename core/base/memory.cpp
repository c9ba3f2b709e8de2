#include "core/base/memory.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/arena.h"
#include "core/base/check.h"
#include "core/base/parallel.h"

namespace coarsegrad {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMaxBytes = std::size_t{1} << 40;

std::size_t rounded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Waits awake for the moment in which another thread has it, and only then asleep. Tasks of microseconds ask for memory
// at the same time, and to be woken takes longer than they do: with std::mutex, images one by one went through a packed
// network slower on two threads than on one.
class BriefMutex {
 public:
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
};

// A step that is warm must not depend on chance. The threads of a parallel_for have an arena each, since
// which of them runs which task is chance; what one of them had to ask the system for, all of them get. The
// first thread that asks has one of its own, and so its requests meet the same free pieces in every step,
// whatever the others (that prepare batches, say) do meanwhile.
class Pool {
 public:
  struct Piece {
    void* data;
    std::size_t capacity;
    MemoryArena* home;
  };

  Piece take(std::size_t bytes) {
    check(bytes <= kMaxBytes, "memory: given ", bytes, " bytes, expected at most ", kMaxBytes);
    const std::size_t wanted = rounded(bytes);
    const std::lock_guard lock(mutex_);
    MemoryArena& mine = arena_of_this_thread();
    void* data = mine.take(wanted);
    ++(data ? stats_.hits : stats_.misses);
    if (!data) {
      grow(mine, wanted);
      data = mine.take(wanted);
    }
    stats_.bytes_used += wanted;
    return {data, wanted, &mine};
  }

  void give(const Piece& piece) {
    const std::lock_guard lock(mutex_);
    stats_.bytes_used -= piece.capacity;
    piece.home->give(piece.data, piece.capacity);
  }

  void release() {
    const std::lock_guard lock(mutex_);
    stats_.bytes_held -= first_.release() + others_.release();
    for (MemoryArena& arena : in_tasks_) stats_.bytes_held -= arena.release();
  }

  PoolStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  MemoryArena& arena_of_this_thread() {
    const int thread = thread_in_region();
    if (thread < 0) {
      static const std::thread::id first = std::this_thread::get_id();
      return std::this_thread::get_id() == first ? first_ : others_;
    }
    const auto arenas = static_cast<std::size_t>(std::max(thread + 1, num_threads()));
    while (in_tasks_.size() < arenas) in_tasks_.emplace_back();
    return in_tasks_[static_cast<std::size_t>(thread)];
  }

  void grow(MemoryArena& arena, std::size_t bytes) {
    if (&arena == &first_ || &arena == &others_) {
      stats_.bytes_held += arena.grow(bytes);
      return;
    }
    for (MemoryArena& one : in_tasks_) stats_.bytes_held += one.grow(bytes);
  }

  BriefMutex mutex_;
  MemoryArena first_, others_;        // outside of the tasks of a parallel_for: the first thread, all others
  std::deque<MemoryArena> in_tasks_;  // by number of the thread
  PoolStats stats_{};
};

// Never destroyed: tensors with static storage give their blocks back during exit. Locked during a fork: the
// child would wait for ever for a thread that had the lock and is not there any more.
Pool& pool() {
  static Pool& instance = []() -> Pool& {
    const int error = pthread_atfork([] { pool().lock(); }, [] { pool().unlock(); }, [] { pool().unlock(); });
    check(error == 0, "memory: given a process that cannot take note of forks, error ", error,
          ", expected memory for that");
    return *new Pool;
  }();
  return instance;
}

// Made before there are threads: a child that was forked while another thread made it would wait for ever, too.
[[maybe_unused]] const Pool& made_early = pool();

}  // namespace

PoolStats pool_stats() { return pool().stats(); }
void pool_release() { pool().release(); }

MemoryBlock::MemoryBlock(std::size_t bytes) {
  if (bytes == 0) return;
  const auto [data, capacity, home] = pool().take(bytes);
  data_ = data;
  capacity_ = capacity;
  home_ = home;
}

MemoryBlock::~MemoryBlock() {
  if (data_) pool().give({data_, capacity_, home_});
}

MemoryBlock::MemoryBlock(MemoryBlock&& other) noexcept { *this = std::move(other); }

MemoryBlock& MemoryBlock::operator=(MemoryBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  std::swap(home_, other.home_);
  return *this;
}

}  // namespace coarsegrad
