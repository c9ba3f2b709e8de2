#pragma once
// Deferred: where the elements of a tensor come from when they are not kept. A convolution makes them piece
// by piece while it reads its input, so that a training step moves and keeps fewer bytes; everybody else sees
// an ordinary tensor, whose first data() makes all of them.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/memory.h"
#include "core/base/shape.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

class Coded;

/// Codes of elements that are a scale times a power of two: 0 for the code 0, +-2^(|code| - magnitudes) with
/// the sign of the code for the others, |code| <= magnitudes. One scale, or one for each slice of the first axis.
struct PowerCodes {
  std::span<const std::int8_t> codes;
  int magnitudes;
  std::span<const Real> scales;
};

class Deferred {
 public:
  virtual ~Deferred() = default;
  /// Writes elements [begin, end), both multiples of granule(), to `out`. Called from several threads at once.
  virtual void read(std::int64_t begin, std::int64_t end, Real* out) const = 0;
  virtual std::int64_t granule() const { return 1; }
  /// The integers behind the elements, where there are any.
  virtual const Coded* coded() const { return nullptr; }
  /// The powers of two behind the elements, where there are any.
  virtual std::optional<PowerCodes> powers() const { return std::nullopt; }
  /// What the elements are in a deployed network: so many bits each and these scales; 0 and none for floats.
  virtual int bits() const { return 0; }
  virtual std::span<const Real> scales() const { return {}; }
};

/// Elements on a grid: scale times a code of one byte. Quantized activations have unsigned codes and one
/// scale, quantized weights signed ones and one scale or one for each slice of the first axis (output channel).
class Coded : public Deferred {
 public:
  enum class Sign { none, two_s_complement };
  /// Throws Error unless 1 <= bits <= 8 and the number of scales divides `size`.
  Coded(std::int64_t size, int bits, Sign sign, std::vector<Real> scales);

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  const Coded* coded() const override { return this; }

  int bits() const override { return bits_; }
  bool is_signed() const { return sign_ == Sign::two_s_complement; }
  std::int64_t size() const { return size_; }
  /// Write scales and codes before the tensor is made.
  std::span<Real> scales() { return scales_; }
  std::span<const Real> scales() const override { return scales_; }
  /// The memory that the codes are in, one byte each.
  const MemoryBlock& block() const { return codes_; }
  std::uint8_t* codes() { return static_cast<std::uint8_t*>(codes_.data()); }
  const std::uint8_t* codes() const { return static_cast<const std::uint8_t*>(codes_.data()); }
  /// The same bytes. Only for signed codes.
  std::int8_t* signed_codes() { return static_cast<std::int8_t*>(codes_.data()); }
  const std::int8_t* signed_codes() const { return static_cast<const std::int8_t*>(codes_.data()); }

 private:
  std::int64_t size_;
  int bits_;
  Sign sign_;
  std::vector<Real> scales_;
  MemoryBlock codes_;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
