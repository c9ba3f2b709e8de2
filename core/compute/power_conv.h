#pragma once
// Convolutions and dense layers whose weights are powers of two: code k stands for 0, or for 2^(|k| - 1) with the
// sign of k, up to `magnitudes` of them (Yin, Zhang, Qi, Xin, arXiv 1612.06052: 2^(bits - 2) for weights of so many
// bits). Exact, and bitwise the same for any number of threads and on every kernel table.
//
// By planes of bits, a product with a power of two is a shift: such weights are numbers of power_bits() bits, whose
// planes are counted, shifted and added (core/compute/bit_conv.h). In two's complement that is a plane for each
// magnitude and one for the sign; planes of their own for positive and negative powers would be twice as many. By
// bytes, 7 magnitudes fit into one, 15 into two and 23 into three.
#include <cstdint>
#include <span>

#include "core/compute/bit_planes.h"
#include "core/compute/conv_codes.h"

namespace coarsegrad {

inline constexpr int kMostPowers = 23;  ///< magnitudes, at most

/// What code k stands for, |k| <= kMostPowers.
constexpr std::int32_t power_value(int k) { return k == 0 ? 0 : k > 0 ? 1 << (k - 1) : -(1 << (-k - 1)); }
/// The weights' code for planes of bits, for 1 to 7 magnitudes: their values are bytes.
constexpr BitCode power_bits(int magnitudes) { return BitCode::signed_bits(magnitudes + 1); }

/// The weights of a layer in the order in which the byte kernels of the table that is active now read them.
class PowerWeights {
 public:
  /// codes: (out_channels, kernel_h, kernel_w, in_channels / groups) of `s`, from -magnitudes to magnitudes. Throws
  /// Error as ByteWeights does, unless there are 1 to kMostPowers magnitudes, and for a code beyond them.
  PowerWeights(const ConvShape& s, int magnitudes, const std::int8_t* codes);

  /// Bytes of a weight, and products that each one takes: as few as hold the largest power that occurs.
  int bytes() const { return bytes_; }
  /// The bytes as output channels, those of lower weight first within each group.
  const ByteWeights& weights() const { return weights_; }

 private:
  int bytes_;
  ByteWeights weights_;
};

/// y = scale * (integer convolution of x and weight) + bias, as conv2d_forward_codes computes it: the sum is exact,
/// then rounded to float, then one fused multiply-add. Throws Error as that does, and where weights of more than one
/// byte sum more products than 32 bits hold.
template <class In>
void conv2d_forward_powers(const ConvShape& s, const In* x, const PowerWeights& weight, std::span<const float> scale,
                           const float* bias, float* y);

}  // namespace coarsegrad
