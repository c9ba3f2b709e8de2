#pragma once
// Random numbers: counter based (Philox 4x32-10), so that a stream is a key and a position, and both can be
// written down. One seed is split by names: a new layer takes a new name and shifts nobody else's numbers.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace coarsegrad {

/// A stream of random numbers. Copies are independent readers of the same stream. Each call below moves on to
/// the next unused block of 128 bits. The numbers do not depend on the number of threads, and uniform bits,
/// integers and float variates not on the processor either. T is float or double; both draw the same variates
/// to their own rounding (1e-6), so that a float and a double network start alike.
class Rng {
 public:
  /// The stream of this seed, at its beginning.
  explicit Rng(std::uint64_t seed = 0);
  /// The stream written down earlier as key() and position().
  static Rng at(std::uint64_t key, std::uint64_t position);

  /// The child stream with this name or number, at its beginning. It depends on key() alone, not on position().
  Rng split(std::string_view name) const;
  Rng split(std::uint64_t index) const;

  /// What tells this stream from all others.
  std::uint64_t key() const { return key_; }
  /// Number of 128-bit blocks that lie behind.
  std::uint64_t position() const { return position_; }
  /// Goes on behind so many 128-bit blocks.
  void set_position(std::uint64_t blocks) { position_ = blocks; }

  /// Raw 32-bit words; takes ceil(n / 4) blocks.
  void bits(std::uint32_t* out, std::size_t n);
  /// 64 random bits; takes one block.
  std::uint64_t bits();
  /// Uniform in [low, high), 24 (float) or 32 (double) random bits each; takes ceil(n / 4) blocks.
  template <class T>
  void uniform(T* out, std::size_t n, T low = 0, T high = 1);
  /// One number, uniform in [0, 1) with 53 random bits; takes one block.
  double uniform();
  /// mean + stddev * N(0, 1), tails up to 6.55 standard deviations; takes 8 ceil(n / 32) blocks.
  template <class T>
  void normal(T* out, std::size_t n, T mean = 0, T stddev = 1);
  /// Uniform in {0, ..., n - 1} without bias; throws Error if n is 0. Takes one block (rarely more).
  std::uint64_t below(std::uint64_t n);
  /// Puts the values in uniformly random order.
  template <class T>
  void shuffle(std::span<T> values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::uint64_t take(std::uint64_t blocks) { return std::exchange(position_, position_ + blocks); }

  std::uint64_t key_, position_ = 0;
};

}  // namespace coarsegrad
