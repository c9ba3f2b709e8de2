#pragma once
// Memory: blocks are taken from and given back to one process-wide pool, so that a training step with
// constant shapes asks the system for nothing once it is warm. Thread safe.
#include <cstddef>
#include <cstdint>

namespace coarsegrad {

/// Counters since the start of the process.
struct PoolStats {
  std::uint64_t hits;      ///< requests served by a block that was there
  std::uint64_t misses;    ///< requests that had to ask the system
  std::size_t bytes_held;  ///< bytes taken from the system, in use or free
  std::size_t bytes_used;  ///< bytes of the blocks in use now
};
PoolStats pool_stats();
/// Gives all free blocks back to the system.
void pool_release();

class MemoryArena;

/// Owns one block of the pool: 64-byte aligned, uninitialised. Movable, not copyable.
class MemoryBlock {
 public:
  MemoryBlock() = default;
  explicit MemoryBlock(std::size_t bytes);
  ~MemoryBlock();
  MemoryBlock(MemoryBlock&& other) noexcept;
  MemoryBlock& operator=(MemoryBlock&& other) noexcept;
  void* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }

 private:
  void* data_ = nullptr;
  std::size_t capacity_ = 0;
  MemoryArena* home_ = nullptr;  // where it goes back to
};

/// Uninitialised working space for n values of T, given back at the end of the scope.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::size_t n) : block_(n * sizeof(T)) {}
  T* data() const { return static_cast<T*>(block_.data()); }
  T& operator[](std::size_t i) const { return data()[i]; }

 private:
  MemoryBlock block_;
};

}  // namespace coarsegrad
