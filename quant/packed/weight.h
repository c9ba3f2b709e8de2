#pragma once
// The weights of a layer as a packed model keeps them.
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/shape.h"

namespace coarsegrad::packed {

/// What a packed number of a weight stands for.
enum class Codebook {
  floats,    ///< nothing is packed: the values themselves
  signs,     ///< 0: -1, 1: +1; times a scale
  integers,  ///< two's complement; times a scale
  powers,    ///< two's complement k: 0, or +-2^(|k| - magnitudes) with the sign of k; times a scale
  table,     ///< the place of a value in a list
};
/// "floats", "signs", ...
const char* name_of(Codebook codebook);
/// The codebook of that name. Throws Error for an unknown name.
Codebook codebook_named(std::string_view name);

/// Weights, packed or float.
struct Weight {
  Shape shape = {};                       ///< (out, in), or (out, kh, kw, in / groups)
  Codebook codebook = Codebook::floats;   ///< what a packed number stands for
  int bits = 32;                          ///< of a packed number, 1 to 8; 32 for floats
  int magnitudes = 0;                     ///< of powers, 1 to 64
  std::vector<std::uint8_t> fields = {};  ///< packed numbers (quant/packed/bits.h), row-major
  std::vector<float> values = {};         ///< of floats: all of them; of a table: its list, at most 2^bits
  std::vector<float> scales = {};         ///< of signs, integers and powers: one, or one for each output channel
};

/// Throws Error unless sizes and ranges fit together and every float is finite.
void check_weight(const Weight& w);

/// Weights of one byte each: scale times a code, as integer kernels take them.
struct WeightCodes {
  std::vector<std::int8_t> codes;  ///< one for each weight
  std::vector<float> scales;       ///< one, or one for each output channel
};
/// Whether weight_codes() has codes: for signs and integers, and for powers of up to kMostLinear magnitudes.
bool has_codes(const Weight& w);
/// The powers of two that are small multiples of the least one: +-2^(|k| - 1) <= 8 fits a byte.
inline constexpr int kMostLinear = 4;
/// The codes. Throws Error where there are none.
WeightCodes weight_codes(const Weight& w);
/// The weights as floats, with the bits that the network was evaluated with.
std::vector<float> weight_values(const Weight& w);

/// Weights from their codes, which are packed into as few bits as they need; `scales`: one, or one for each output
/// channel.
Weight packed_integers(const Shape& shape, std::span<const std::int8_t> codes, std::vector<float> scales);
/// Weights that are powers of two, in numbers of `bits` bits.
Weight packed_powers(const Shape& shape, std::span<const std::int8_t> codes, int magnitudes, int bits,
                     std::vector<float> scales);
/// Weights as they are: by a table where there are at most 256 different ones and that takes fewer bytes.
Weight packed_values(const Shape& shape, std::span<const float> values);

}  // namespace coarsegrad::packed
