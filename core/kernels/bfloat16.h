#pragma once
// Numbers of 16 bits with the range of a float: its sign, its eight bits of exponent, and seven of its bits behind the
// point.
#include <bit>
#include <cstdint>

namespace coarsegrad {

/// The upper half of a float. Nothing is computed with it: it is what tensors keep where bytes count more than digits,
/// and what products read.
struct Bfloat16 {
  std::uint16_t bits;  ///< sign, exponent, mantissa

  /// Whether both have the same bits.
  friend constexpr bool operator==(Bfloat16, Bfloat16) = default;
};

/// Relative error of a rounded number at most, for what lies in the range of normal numbers: half of 2^-7.
inline constexpr double kBfloat16Error = 0x1p-8;

/// The nearest one, the even one of two; infinite from 2^128 (1 - 2^-9) on. NaN stays NaN.
constexpr Bfloat16 to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return {static_cast<std::uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

/// The same number, which every float can hold.
constexpr float to_float(Bfloat16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

}  // namespace coarsegrad
