#include "core/base/arena.h"

#include <sys/mman.h>

#include <iterator>
#include <vector>

#include "core/base/check.h"

namespace coarsegrad {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20;

void* pages(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(p != MAP_FAILED, "memory: ", bytes, " bytes are not to be had");
  return p;
}

std::uintptr_t rounded_up(std::uintptr_t value, std::size_t step) { return (value + step - 1) / step * step; }

// Whole huge pages. Mappings usually end where the last one began, and stay aligned then.
std::uintptr_t huge_pages(std::size_t bytes) {
  auto begin = reinterpret_cast<std::uintptr_t>(pages(bytes));
  if (begin % kHugePage != 0) {
    munmap(reinterpret_cast<void*>(begin), bytes);
    const auto wide = reinterpret_cast<std::uintptr_t>(pages(bytes + kHugePage));
    begin = rounded_up(wide, kHugePage);
    if (begin > wide) munmap(reinterpret_cast<void*>(wide), begin - wide);
    const std::size_t behind = wide + kHugePage - begin;
    if (behind > 0) munmap(reinterpret_cast<void*>(begin + bytes), behind);
  }
  madvise(reinterpret_cast<void*>(begin), bytes, MADV_HUGEPAGE);  // only advice: fewer faults and TLB misses
  return begin;
}

}  // namespace

void* MemoryArena::take(std::size_t bytes) {
  const auto found = by_size_.lower_bound({bytes, 0});
  if (found == by_size_.end()) return nullptr;
  const auto [size, begin] = *found;
  erase(begin, size);
  if (size > bytes) insert(begin + bytes, size - bytes);
  return reinterpret_cast<void*>(begin);
}

void MemoryArena::give(void* data, std::size_t bytes) {
  auto begin = reinterpret_cast<std::uintptr_t>(data);
  const auto next = by_address_.lower_bound(begin);
  const auto previous = next == by_address_.begin() ? by_address_.end() : std::prev(next);
  if (next != by_address_.end() && next->first == begin + bytes) {
    bytes += next->second;
    erase(next->first, next->second);
  }
  if (previous != by_address_.end() && previous->first + previous->second == begin) {
    begin = previous->first;
    bytes += previous->second;
    erase(previous->first, previous->second);
  }
  insert(begin, bytes);
}

std::size_t MemoryArena::grow(std::size_t bytes) {
  bytes = rounded_up(bytes, kHugePage);
  give(reinterpret_cast<void*>(huge_pages(bytes)), bytes);
  return bytes;
}

std::size_t MemoryArena::release() {
  const std::vector<std::pair<std::uintptr_t, std::size_t>> all(by_address_.begin(), by_address_.end());
  std::size_t released = 0;
  for (const auto& [begin, size] : all) {
    const std::uintptr_t first = rounded_up(begin, kPage), last = (begin + size) / kPage * kPage;
    if (first >= last) continue;
    erase(begin, size);
    munmap(reinterpret_cast<void*>(first), last - first);
    released += last - first;
    if (first > begin) insert(begin, first - begin);
    if (begin + size > last) insert(last, begin + size - last);
  }
  return released;
}

void MemoryArena::insert(std::uintptr_t begin, std::size_t bytes) {
  by_address_.emplace(begin, bytes);
  by_size_.emplace(bytes, begin);
}

void MemoryArena::erase(std::uintptr_t begin, std::size_t bytes) {
  by_address_.erase(begin);
  by_size_.erase({bytes, begin});
}

}  // namespace coarsegrad
