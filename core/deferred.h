#pragma once
// Tensors whose elements are not kept but made when they are read (Tensor::deferred).
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/base/memory.h"
#include "core/base/shape.h"
#include "core/real.h"

namespace coarsegrad {

class CodeWeights;
struct Bfloat16;
struct BitCode;
struct ConvShape;

inline namespace COARSEGRAD_REAL {

class Coded;

/// Codes of elements that are a scale times a power of two: 0 for the code 0, +-2^(|code| - magnitudes) with
/// the sign of the code for the others, |code| <= magnitudes. One scale, or one for each slice of the first axis.
struct PowerCodes {
  std::span<const std::int8_t> codes;  ///< one per element
  int magnitudes;                      ///< how many powers of two there are, >= 1
  std::span<const Real> scales;        ///< one, or one for each slice of the first axis
};

/// Where the elements of a tensor come from when they are not kept. A convolution makes them piece by piece while it
/// reads its input, so that a training step moves and keeps fewer bytes; everybody else sees an ordinary tensor, whose
/// first data() makes all of them.
class Deferred {
 public:
  virtual ~Deferred() = default;
  /// Writes elements [begin, end), both multiples of granule(), to `out`. Called from several threads at once.
  virtual void read(std::int64_t begin, std::int64_t end, Real* out) const = 0;
  /// Elements that can only be made together: those of a pixel, say.
  virtual std::int64_t granule() const { return 1; }
  /// The integers behind the elements, where there are any.
  virtual const Coded* coded() const { return nullptr; }
  /// The elements themselves, where they are kept as bfloat16.
  virtual const Bfloat16* bfloat16() const { return nullptr; }
  /// The powers of two behind the elements, where there are any.
  virtual std::optional<PowerCodes> powers() const { return std::nullopt; }
  /// Bits of an element in a deployed network; 0 for floats.
  virtual int bits() const { return 0; }
  /// Scales of the elements in a deployed network, one or one for each slice of the first axis; none for floats.
  virtual std::span<const Real> scales() const { return {}; }
};

/// Elements on a grid: scale times a code of one byte. Quantized activations have unsigned codes and one
/// scale, or signed ones (an activation of 1 bit with a sign is -1 or 1, never 0), quantized weights signed ones and one
/// scale or one for each slice of the first axis (output channel).
class Coded : public Deferred {
 public:
  /// How a byte is read.
  enum class Sign {
    none,             ///< 0 to 255
    two_s_complement  ///< -128 to 127
  };
  /// Codes of `size` elements, not set yet. Throws Error unless 1 <= bits <= 8 and the number of scales divides `size`.
  Coded(std::int64_t size, int bits, Sign sign, std::vector<Real> scales);

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  const Coded* coded() const override { return this; }

  int bits() const override { return bits_; }
  /// How a byte is read.
  Sign sign() const { return sign_; }
  /// Whether codes have a sign.
  bool is_signed() const { return sign_ == Sign::two_s_complement; }
  /// What the codes of an activation mean: unsigned or signed ones of bits() bits, or signs.
  BitCode code() const;
  /// Number of elements.
  std::int64_t size() const { return size_; }
  /// The scales, to be written before the tensor is made.
  std::span<Real> scales() { return scales_; }
  std::span<const Real> scales() const override { return scales_; }

  /// The memory that the codes are in, one byte each.
  const MemoryBlock& block() const { return codes_; }
  /// The codes, one per element, to be written before the tensor is made.
  std::uint8_t* codes() { return static_cast<std::uint8_t*>(writable()); }
  const std::uint8_t* codes() const { return static_cast<const std::uint8_t*>(codes_.data()); }
  /// The bytes of codes() as numbers with a sign. Only for signed codes.
  std::int8_t* signed_codes() { return static_cast<std::int8_t*>(writable()); }
  const std::int8_t* signed_codes() const { return static_cast<const std::int8_t*>(codes_.data()); }

  /// The signed codes as the weights of a layer, packed for the kernel that multiplies them by activations of this code
  /// (core/compute/code_weights.h). Packed when somebody asks first, and again only for another layer or kernel table,
  /// or after codes() or signed_codes() were asked for to write them. Thread safe.
  std::shared_ptr<const CodeWeights> packed_for(const BitCode& activation, const ConvShape& layer) const;

 private:
  void* writable();

  std::int64_t size_;
  int bits_;
  Sign sign_;
  std::vector<Real> scales_;
  MemoryBlock codes_;
  mutable std::mutex packing_;                         // held while packed_ is made, read or let go
  mutable std::shared_ptr<const CodeWeights> packed_;  // null until somebody asks
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
