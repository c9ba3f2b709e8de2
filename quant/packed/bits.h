#pragma once
// Numbers of a few bits, side by side in bytes.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coarsegrad::packed {

/// Bytes that `count` numbers of so many bits take.
constexpr std::size_t field_bytes(std::int64_t count, int bits) {
  return static_cast<std::size_t>((count * bits + 7) / 8);
}

/// The lowest `bits` bits of each number, one after another from the lowest one on: bit b of number i is bit k % 8 of
/// byte k / 8 with k = i * bits + b. The bits that are left of the last byte are 0. Throws Error unless 1 <= bits <= 8.
std::vector<std::uint8_t> pack_fields(std::span<const std::uint8_t> numbers, int bits);

/// The numbers that pack_fields() was given. Throws Error unless `bytes` has field_bytes() of them.
std::vector<std::uint8_t> unpack_fields(std::span<const std::uint8_t> bytes, std::int64_t count, int bits);

}  // namespace coarsegrad::packed
