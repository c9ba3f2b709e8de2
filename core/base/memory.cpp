#include "core/base/memory.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "core/base/arena.h"
#include "core/base/check.h"
#include "core/base/parallel.h"

namespace coarsegrad {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMaxBytes = std::size_t{1} << 40;
// Blocks from this size on come from an arena.
constexpr std::size_t kLarge = std::size_t{64} << 10;
// How much larger than the request a block may be. While the pool grows, by half: what stays (a momentum
// buffer of the first step, say) must not sit in a block that a feature map needs in the next one. Once so
// many requests in a row were served that training has settled, any block will do: the smaller batch that
// ends an epoch finds room in the blocks of the full ones.
constexpr std::uint64_t kSettled = 1000;
std::size_t largest_for(std::size_t wanted, std::uint64_t hits_in_a_row) {
  return hits_in_a_row > kSettled ? kMaxBytes : wanted + wanted / 2;
}

std::size_t rounded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void* from_system(std::size_t bytes) {
  void* p = std::aligned_alloc(kAlignment, bytes);
  check(p != nullptr, "memory: ", bytes, " bytes are not to be had");
  return p;
}

// Blocks that wait to be used again. Not thread safe.
class FreeBlocks {
 public:
  /// The smallest block of `wanted` to `largest` bytes and its capacity; null if there is none.
  std::pair<void*, std::size_t> take(std::size_t wanted, std::size_t largest) {
    const auto found = blocks_.lower_bound(wanted);
    if (found == blocks_.end() || found->first > largest) return {nullptr, 0};
    const std::pair<void*, std::size_t> block{found->second, found->first};
    spare_nodes_.insert(blocks_.extract(found));
    return block;
  }

  void give(void* data, std::size_t capacity) {
    if (spare_nodes_.empty()) {
      blocks_.emplace(capacity, data);
      return;
    }
    auto node = spare_nodes_.extract(spare_nodes_.begin());
    node.key() = capacity;
    node.mapped() = data;
    blocks_.insert(std::move(node));
  }

  /// Gives all of them back to the system; returns how many bytes that were.
  std::size_t release() {
    std::size_t bytes = 0;
    for (const auto& [capacity, data] : blocks_) {
      std::free(data);
      bytes += capacity;
    }
    blocks_.clear();
    spare_nodes_.clear();
    return bytes;
  }

 private:
  std::multimap<std::size_t, void*> blocks_;       // by capacity
  std::multimap<std::size_t, void*> spare_nodes_;  // map nodes kept for give(), so that it allocates nothing
};

// What one thread takes its blocks from.
struct Store {
  Arena large;
  FreeBlocks small;
};

// The threads of a parallel_for have a store each: which of them runs which task is chance, and a step that
// is warm must not depend on it. What one of them had to ask the system for, all of them get.
class Pool {
 public:
  std::pair<void*, std::size_t> take(std::size_t bytes) {
    check(bytes <= kMaxBytes, "memory: given ", bytes, " bytes, expected at most ", kMaxBytes);
    const std::size_t wanted = rounded(bytes);
    const std::lock_guard lock(mutex_);
    Store& mine = store_of_this_thread();
    auto block = take(mine, wanted);
    ++(block.first ? stats_.hits : stats_.misses);
    hits_in_a_row_ = block.first ? hits_in_a_row_ + 1 : 0;
    if (!block.first) {
      grow(mine, wanted);
      block = take(mine, wanted);
    }
    stats_.bytes_used += block.second;
    return block;
  }

  void give(void* data, std::size_t capacity) {
    const std::lock_guard lock(mutex_);
    stats_.bytes_used -= capacity;
    Store& mine = store_of_this_thread();
    if (capacity >= kLarge)
      mine.large.give(data, capacity);
    else
      mine.small.give(data, capacity);
  }

  void release() {
    const std::lock_guard lock(mutex_);
    stats_.bytes_held -= outside_.large.release() + outside_.small.release();
    for (Store& store : in_tasks_) stats_.bytes_held -= store.large.release() + store.small.release();
  }

  PoolStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  std::pair<void*, std::size_t> take(Store& store, std::size_t wanted) {
    if (wanted < kLarge)
      return store.small.take(wanted, std::min(largest_for(wanted, hits_in_a_row_), kLarge - 1));
    return {store.large.take(wanted), wanted};
  }

  Store& store_of_this_thread() {
    const int thread = thread_in_region();
    if (thread < 0) return outside_;
    const auto stores = static_cast<std::size_t>(std::max(thread + 1, num_threads()));
    while (in_tasks_.size() < stores) in_tasks_.emplace_back();
    return in_tasks_[static_cast<std::size_t>(thread)];
  }

  void grow(Store& store, std::size_t bytes) {
    const auto add = [&](Store& to) {
      if (bytes >= kLarge) {
        stats_.bytes_held += to.large.grow(bytes);
      } else {
        to.small.give(from_system(bytes), bytes);
        stats_.bytes_held += bytes;
      }
    };
    if (&store == &outside_) return add(outside_);
    for (Store& one : in_tasks_) add(one);
  }

  std::mutex mutex_;
  Store outside_;               // of the tasks of a parallel_for
  std::deque<Store> in_tasks_;  // by number of the thread
  PoolStats stats_{};
  std::uint64_t hits_in_a_row_ = 0;
};

// Never destroyed: tensors with static storage give their blocks back during exit.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

}  // namespace

PoolStats pool_stats() { return pool().stats(); }
void pool_release() { pool().release(); }

Block::Block(std::size_t bytes) {
  if (bytes > 0) std::tie(data_, capacity_) = pool().take(bytes);
}

Block::~Block() {
  if (data_) pool().give(data_, capacity_);
}

Block::Block(Block&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

Block& Block::operator=(Block&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

}  // namespace coarsegrad
