#include "core/base/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "core/base/check.h"

namespace coarsegrad {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMaxBytes = std::size_t{1} << 40;
// A free block serves a request down to this fraction of its size: a smaller last batch finds the blocks of the
// full ones, while a scalar does not occupy a feature map.
constexpr std::size_t kMaxWaste = 8;

std::size_t rounded(std::size_t bytes) {
  const std::size_t step = bytes >= kHugePage ? kHugePage : kAlignment;
  return (bytes + step - 1) / step * step;
}

void* from_system(std::size_t bytes) {
  const bool huge = bytes >= kHugePage;
  void* p = std::aligned_alloc(huge ? kHugePage : kAlignment, bytes);
  check(p != nullptr, "memory: ", bytes, " bytes are not to be had");
  if (huge) madvise(p, bytes, MADV_HUGEPAGE);  // only advice: fewer page faults and TLB misses
  return p;
}

class Pool {
 public:
  std::pair<void*, std::size_t> take(std::size_t bytes) {
    check(bytes <= kMaxBytes, "memory: given ", bytes, " bytes, expected at most ", kMaxBytes);
    const std::size_t wanted = rounded(bytes);
    const std::lock_guard lock(mutex_);
    auto found = free_.lower_bound(wanted);
    const bool hit = found != free_.end() && found->first <= kMaxWaste * wanted;
    const std::pair<void*, std::size_t> block =
        hit ? std::pair{found->second, found->first} : std::pair{from_system(wanted), wanted};
    if (hit)
      spare_nodes_.insert(free_.extract(found));
    else
      stats_.bytes_held += wanted;
    ++(hit ? stats_.hits : stats_.misses);
    stats_.bytes_used += block.second;
    return block;
  }

  void give(void* data, std::size_t capacity) {
    const std::lock_guard lock(mutex_);
    stats_.bytes_used -= capacity;
    if (spare_nodes_.empty()) {
      free_.emplace(capacity, data);
      return;
    }
    auto node = spare_nodes_.extract(spare_nodes_.begin());
    node.key() = capacity;
    node.mapped() = data;
    free_.insert(std::move(node));
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (const auto& [capacity, data] : free_) {
      std::free(data);
      stats_.bytes_held -= capacity;
    }
    free_.clear();
    spare_nodes_.clear();
  }

  PoolStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  std::mutex mutex_;
  std::multimap<std::size_t, void*> free_;         // capacity -> block
  std::multimap<std::size_t, void*> spare_nodes_;  // map nodes kept for give(), so that it allocates nothing
  PoolStats stats_{};
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
