#pragma once
// Products of codes of a few bits, by their bits: signs by XNOR, other codes plane by plane, and no multiplication but
// that of the sums. A plane holds one bit of every code, 64 codes to a word, the first in the lowest bit; a pixel's
// planes follow one another, the lowest first, each in ceil(channels / 64) words whose bits beyond the channels are 0.
// Exact: 32-bit sums, the same in every table. Sources: Courbariaux, Hubara, Soudry, El-Yaniv, Bengio (arXiv
// 1602.02830) for XNOR; Zhou, Wu, Ni, Zhou, Wen, Zou (arXiv 1606.06160) for planes; Wei et al. (arXiv 2407.00088) for
// the tables that vector kernels look four products up in.
#include <cstdint>

namespace coarsegrad::kernels {

inline constexpr int kMaxActivationBits = 4;  ///< planes of an activation, at most
inline constexpr int kMaxWeightPlanes = 8;    ///< planes of a weight, at most
inline constexpr int kBitStepBytes = 32;      ///< of a pixel that has been prepared by expand(), for each step
inline constexpr int kMaxBitPixels = 8;       ///< pixels of a tile, at most

/// Which pairs of bits count: those that are equal (a weight bit is a sign), those that are both 1, or, with a weight of
/// two planes, those that differ from the second one where the first one is 1 (-1, 0 and 1 as a mask and a sign).
enum class BitMatch : std::uint8_t { equal, both, masked };

/// A few pixels times a panel of filters. A step is channels_per_step channels of one tap.
///   sums[i][column + j] = scale * (the sum over planes q of coefficient[q] * E(q, i, j)) + offset[j],
///   E(q, i, j) = the sum over r < rows, s < run and planes k of the activation of 2^k * the number of matches between
///                that plane and plane q of filter j, in all the channels of the step, those that only fill it up too.
/// Step s of row r lies at pixels[i] + r * pixel_row + 32 s and weights + q * plane + r * weight_row + s * (bytes of a
/// step of the panel), which holds filter after filter, channels_per_step / 8 bytes of each.
struct BitTile {
  const std::uint8_t* const* pixels;                 ///< `count` of them, as expand() leaves them
  int count;                                         ///< 1 to max_pixels
  std::int64_t rows,                                 ///< rows of taps
      run,                                           ///< steps of a row
      pixel_row,                                     ///< bytes from a row of taps to the next, in the pixels
      weight_row;                                    ///< the same in the weights
  const std::uint8_t* weights;                       ///< the first step of the first plane
  std::int64_t plane;                                ///< bytes from plane to plane of the weights
  int planes,                                        ///< of the weights, 1 to kMaxWeightPlanes; masked: 1, the mask,
                                                     ///< with that of the signs behind it
      bits;                                          ///< planes of the activations, 1 to kMaxActivationBits
  BitMatch match;                                    ///< what counts
  std::int32_t scale;                                ///< of the sum of matches
  const std::int32_t* offset;                        ///< `lanes` of them, one per filter
  std::int32_t* const* sums;                         ///< the sums of each pixel
  std::int64_t column;                               ///< where those of the panel begin
  int columns;                                       ///< filters, 1 to `lanes`
  std::int32_t coefficient[kMaxWeightPlanes] = {1};  ///< one for each plane of the weights
};

/// Tiles of products, and the form in which they read activations and weights.
struct BitProduct {
  int channels_per_step,  ///< 8 or 64
      lanes,              ///< filters of a panel: a divisor of 64
      max_pixels;         ///< of a tile, up to kMaxBitPixels
  bool masks;             ///< whether BitMatch::masked is one of its matches
  /// Prepares `pixels` pixels of `bits` planes for tile(): ceil(channels / channels_per_step) steps of 32 bytes each.
  void (*expand)(BitMatch match, int bits, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                 std::uint8_t* to);
  /// Computes one tile.
  void (*tile)(const BitTile& tile);
};

/// Bits in, sums out, and from sums back to bits.
struct Bits {
  BitProduct one_bit,  ///< for activations of one plane
      planes;          ///< for activations of 2 to kMaxActivationBits planes
  /// The lowest `bits` bits (1 to 8) of each code as planes: `pixels` pixels of `channels` codes.
  void (*split)(int bits, std::int64_t pixels, std::int64_t channels, const std::uint8_t* codes, std::uint64_t* planes);
  /// levels[i] = (values[i] - low) >> shift, for i < n: whether none is above `most` or has been rounded. A value below
  /// `low` is above every `most` that is at most 127 - low; shift is 0 or 1.
  bool (*levels)(std::int64_t n, int low, int shift, int most, const std::int8_t* values, std::uint8_t* levels);
  /// codes[c] = how many k < count satisfy (sums[c] ^ flip[c]) > bounds[k * bounds_row + c], for c < channels;
  /// 1 <= count <= 255.
  void (*threshold)(std::int64_t channels, int count, const std::int32_t* sums, const std::int32_t* flip,
                    const std::int32_t* bounds, std::int64_t bounds_row, std::uint8_t* codes);
  /// Bit c of `plane` = (sums[c] ^ flip[c]) > bounds[c], for c < channels: ceil(channels / 64) words, whose other bits
  /// are 0.
  void (*compare)(std::int64_t channels, const std::int32_t* sums, const std::int32_t* flip, const std::int32_t* bounds,
                  std::uint64_t* plane);
  /// codes[c] = min(levels, max(0, ceil(slope[c] * sums[c] + start[c]))), for c < channels: the sum as a float, then one
  /// fused multiply-add, which has to give finite numbers; 1 <= levels <= 255.
  void (*line)(std::int64_t channels, int levels, const std::int32_t* sums, const float* slope, const float* start,
               std::uint8_t* codes);
  /// y[c] = factors[c] * sums[c] + (bias[c] or 0), for c < channels: the sum is rounded to float (above 2^24), then one
  /// fused multiply-add follows. bias may be null.
  void (*scale)(std::int64_t channels, const std::int32_t* sums, const float* factors, const float* bias, float* y);
};

}  // namespace coarsegrad::kernels
