#pragma once
// Products of integer codes: what the convolutions and dense layers of quantized nets are made of in the
// forward pass, and in the backward pass where gradients have codes, too. Exact: 32-bit sums, scaled to float once or
// left as they are.
#include <cstdint>
#include <type_traits>

namespace coarsegrad::kernels {

/// Four codes of A and of B, neighbours in depth, are multiplied and added in one step.
inline constexpr int kCodesPerStep = 4;
/// Sums of so many products of an unsigned and a signed byte stay inside 32 bits: 255 * 128 * 65793 < 2^31.
inline constexpr std::int64_t kMaxCodeDepth = 65793;
/// The same for two signed bytes: 128 * 128 * 131071 < 2^31.
inline constexpr std::int64_t kMaxSignedCodeDepth = 131071;
/// The one of the two for codes of A of type In, std::uint8_t or std::int8_t.
template <class In>
inline constexpr std::int64_t kMaxDepthOf = std::is_signed_v<In> ? kMaxSignedCodeDepth : kMaxCodeDepth;

/// A block of C held in registers while products are summed over three nested loops.
///   c[i * c_row + j] = scale[j] * S(i, j) + (bias[j] or 0), or sums[i * c_row + j] = S(i, j),
///   S(i, j) = the sum over s0 < steps[0], s1 < steps[1], s2 < steps[2], k < 4 of a(i, s)[k] * b(s)[4 j + k]
///   a(i, s) = a + i * a_row + s0 * a_step[0] + s1 * a_step[1] + s2 * a_step[2], b(s) likewise, in bytes.
/// The sum is exact as long as it has at most kMaxDepthOf<In> products; it is rounded to float (above 2^24),
/// then one fused multiply-add follows. B is read in whole vectors, as pack() leaves it.
template <class In>
struct CodeTile {
  static constexpr bool kSigned = std::is_signed_v<In>;  ///< whether codes of A may be negative

  const In* a;                   ///< a(0, 0)
  std::int64_t a_row;            ///< bytes from row to row of A
  const std::int8_t* b;          ///< b(0), packed by pack()
  std::int64_t steps[3],         ///< lengths of the loops, the outermost first
      a_step[3],                 ///< bytes in A, of each loop; the innermost one's are kCodesPerStep
      b_step[3];                 ///< bytes in B, of each loop; the innermost one's are kCodesPerStep * pack()'s width
  float* c;                      ///< c(0, 0); not used where `sums` is not null
  std::int64_t c_row;            ///< elements from row to row of C
  int rows,                      ///< 1 to max_rows[ceil(columns / lanes)]
      columns;                   ///< >= 1
  const float* scale = nullptr;  ///< one value per column; not null when tile() is called without `sums`
  const float* bias = nullptr;   ///< one value per column, or null
  std::int32_t* sums = nullptr;  ///< sums(0, 0): where the sums themselves are wanted
};

/// Products of a matrix A of codes of type In and a matrix B of signed bytes, tile by tile.
template <class In>
struct CodeProduct {
  using Tile = CodeTile<In>;             ///< what tile() takes, for loops that are templates over the family
  static constexpr int kMaxVectors = 4;  ///< most vectors in a row of a tile
  /// Columns of C in a vector.
  int lanes;
  /// Most rows of a tile that is v vectors wide, v from 1 to kMaxVectors; 0 where there is no such tile.
  int max_rows[kMaxVectors + 1];
  /// Rows are computed in blocks of so many, and a block that is not full takes as long.
  int block;
  /// Computes one tile.
  void (*tile)(const CodeTile<In>& tile);
  /// B of one panel: to[(s * width + j) * 4 + k] = from[j * from_row + 4 s + k] for j < columns, s < steps,
  /// k < 4, and 0 for columns <= j < width; width is a multiple of lanes.
  void (*pack)(int columns, int width, std::int64_t steps, const std::int8_t* from, std::int64_t from_row,
               std::int8_t* to);
};

/// Products of codes, for both kinds of A, which have the same lanes, max_rows and pack().
struct MatmulCodes {
  using Release = void();  ///< what `release` is

  CodeProduct<std::uint8_t> by_unsigned;  ///< A has codes from 0 to 255
  CodeProduct<std::int8_t> by_signed;     ///< A has codes from -128 to 127
  /// by_unsigned for small codes, with the same lanes, pack() and widths of tiles: every sum of products of the codes 0 and
  /// 1, or 2 and 3, of steps of a tile, in any order and as far as it may go, stays within 16 bits. Null where it would not
  /// be faster.
  const CodeProduct<std::uint8_t>* small = nullptr;
  Release* release = nullptr;  ///< gives back what tile() has taken of the processor for the thread that calls

  /// The one for codes of type In.
  template <class In>
  const CodeProduct<In>& of() const {
    if constexpr (std::is_signed_v<In>)
      return by_signed;
    else
      return by_unsigned;
  }
};

}  // namespace coarsegrad::kernels
