#pragma once
// Codes of a few bits as planes of bits (core/kernels/bits.h): what a layer on bits reads and writes. A pixel of C
// channels takes plane_words(C) words of 64 bits for each plane; images lie pixel after pixel, channels last. Bitwise
// the same for any number of threads and on every kernel table.
#include <cstdint>

#include "core/compute/pool.h"

namespace coarsegrad {

/// What a code means: its level u, from 0 to levels - 1, which is stored in `bits` planes, stands for low + step * u.
struct BitCode {
  int bits,           ///< planes, 1 to 8
      levels;         ///< 2 to 2^bits
  std::int32_t step,  ///< value from level to level, 1 or 2
      low;            ///< value of level 0

  /// -1 and 1: a bit that is 1 is a positive sign.
  static constexpr BitCode signs() { return {1, 2, 2, -1}; }
  /// -1, 0 and 1.
  static constexpr BitCode ternary() { return {2, 3, 1, -1}; }
  /// 0 to 2^bits - 1.
  static constexpr BitCode unsigned_bits(int bits) { return {bits, 1 << bits, 1, 0}; }
  /// -2^(bits - 1) to 2^(bits - 1) - 1.
  static constexpr BitCode signed_bits(int bits) { return {bits, 1 << bits, 1, -(1 << (bits - 1))}; }

  /// The largest value.
  constexpr std::int32_t high() const { return low + step * (levels - 1); }
  /// Throws Error in the name of `op` unless this is one of the four kinds above with 1 to most_bits planes.
  void validate(const char* op, int most_bits) const;
  /// Whether both mean the same.
  friend bool operator==(const BitCode& a, const BitCode& b) = default;
};

/// The code with the fewest planes that has all of n values: signs(), ternary(), or signed_bits().
BitCode narrowest_code(std::int64_t n, const std::int8_t* values);

/// Words of one plane of a pixel.
constexpr std::int64_t plane_words(std::int64_t channels) { return (channels + 63) / 64; }
/// Words of so many pixels.
constexpr std::int64_t packed_words(int bits, std::int64_t pixels, std::int64_t channels) {
  return bits * pixels * plane_words(channels);
}

/// The lowest `bits` bits, 1 to 8, of levels (pixels, channels) as planes.
void pack_planes(int bits, std::int64_t pixels, std::int64_t channels, const std::uint8_t* levels,
                 std::uint64_t* planes);
/// Values (pixels, channels) of a code as planes of their levels. Throws Error where a value has no level.
void pack_values(const BitCode& code, std::int64_t pixels, std::int64_t channels, const std::int8_t* values,
                 std::uint64_t* planes);
/// What pack_planes() was given, from its planes.
void unpack_planes(int bits, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                   std::uint8_t* levels);

/// What pack_values() was given, from its planes.
void unpack_values(const BitCode& code, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                   std::int8_t* values);

/// y = the highest level of each window of x, both as planes; padding never wins. Throws Error as PoolShape::validate()
/// does.
void max_pool_planes(const PoolShape& s, int bits, const std::uint64_t* x, std::uint64_t* y);
/// sums (batch, channels) = the levels of all pixels of an image, added up; x: (batch, pixels, channels). Throws Error
/// where they could leave 32 bits.
void sum_planes(int bits, std::int64_t batch, std::int64_t pixels, std::int64_t channels, const std::uint64_t* x,
                std::int32_t* sums);

// All of these throw Error unless sizes are >= 0 and there are 1 to 8 bits.

}  // namespace coarsegrad
