#pragma once
// Memory: blocks are taken from and given back to one process-wide pool, so that a training step with
// constant shapes asks the system for nothing once it is warm. Thread safe.
#include <cstddef>
#include <cstdint>

namespace coarsegrad {

/// What the pool has served since the start of the process, and what it holds now.
struct PoolStats {
  std::uint64_t hits;      ///< requests served by a block that was there
  std::uint64_t misses;    ///< requests that had to ask the system
  std::size_t bytes_held;  ///< bytes taken from the system, in use or free
  std::size_t bytes_used;  ///< bytes of the blocks in use now
};
/// The numbers of this moment.
PoolStats pool_stats();
/// Gives all free blocks back to the system.
void pool_release();

class MemoryArena;

/// Owns one block of the pool: 64-byte aligned, uninitialised. Movable, not copyable.
class MemoryBlock {
 public:
  /// No block: data() is null.
  MemoryBlock() = default;
  /// A block of `bytes`, rounded up to a multiple of 64; none for 0 bytes. Throws Error above 2^40 bytes, and where the
  /// system has no memory left.
  explicit MemoryBlock(std::size_t bytes);
  /// Gives the block back to the pool.
  ~MemoryBlock();
  /// Exchanges the blocks of the two; a new one has had none.
  MemoryBlock(MemoryBlock&& other) noexcept;
  MemoryBlock& operator=(MemoryBlock&& other) noexcept;
  /// The first byte; null where there is no block.
  void* data() const { return data_; }
  /// Bytes of the block, a multiple of 64.
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
  /// Takes the space from the pool; throws Error as MemoryBlock does.
  explicit Scratch(std::size_t n) : block_(n * sizeof(T)) {}
  /// The first value, aligned to 64 bytes; null for n = 0.
  T* data() const { return static_cast<T*>(block_.data()); }
  /// Value i < n, which is not checked.
  T& operator[](std::size_t i) const { return data()[i]; }

 private:
  MemoryBlock block_;
};

}  // namespace coarsegrad
