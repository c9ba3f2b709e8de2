#pragma once
// The stores that the pool of core/base/memory.h consists of.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <set>
#include <utility>

namespace coarsegrad {

/// One store of the pool. What is given back grows together with its free neighbours, so that the memory of many small
/// feature maps serves a large one later in the same step. Not thread safe.
class MemoryArena {
 public:
  /// The smallest free piece that is large enough, cut to `bytes`; null if there is none. `bytes` is a
  /// multiple of 64, and so is every address.
  void* take(std::size_t bytes);
  /// Takes a piece back: `data` and `bytes` as they were taken.
  void give(void* data, std::size_t bytes);
  /// Asks the system for room for `bytes` more, in whole huge pages (2 MiB); returns how many bytes it got. Throws
  /// Error where there are none.
  std::size_t grow(std::size_t bytes);
  /// Gives whole free pages back to the system; returns how many bytes that were.
  std::size_t release();

 private:
  void insert(std::uintptr_t begin, std::size_t bytes);
  void erase(std::uintptr_t begin, std::size_t bytes);

  // The nodes live in a resource that keeps what it has: once warm, nobody else is asked.
  std::pmr::unsynchronized_pool_resource nodes_;
  std::pmr::map<std::uintptr_t, std::size_t> by_address_{&nodes_};
  std::pmr::set<std::pair<std::size_t, std::uintptr_t>> by_size_{&nodes_};
};

}  // namespace coarsegrad
