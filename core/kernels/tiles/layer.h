#pragma once
// Eight tiles: small matrices that a processor with AMX holds in registers and multiplies by each other. Loops over
// tiles are written against a Layer and know nothing of instructions; there are two of them:
//   amx.h    one instruction for each function, and
//   plain.h  plain C++ that does what they do, and throws where they would fault, so that layouts, loops and leftovers
//            are tested on every processor.
// A Layer has the static functions
//   configure(shapes)           makes the tiles what `shapes` says; what they held is lost if that is something new
//   zero<t>()                   tile t = 0
//   load<t>(from, row)          tile t = what lies at `from`, `row` bytes from one of its rows to the next
//   store<t>(to, row)           the same the other way
//   multiply<In, c, a, b>()     c(i, j) += the sum over k of a(i, k) * b(k / n, n j + k % n), where n elements of a are four
//                               bytes: c has sums of 32 bits, a bytes of type In and b signed bytes; or c has floats, a
//                               and b bfloat16, denormals are 0, and even and odd k are summed apart
//   release()                   ends what configure() began in this thread; nothing where it did not
// Tiles belong to a thread: every thread configures its own, and gives them back at the end of its tasks.
#include <cstdint>

namespace coarsegrad::kernels {

inline constexpr int kTiles = 8;       ///< tiles
inline constexpr int kTileRows = 16;   ///< rows of a tile, at most
inline constexpr int kTileBytes = 64;  ///< bytes of such a row, at most

/// What each tile is: rows[t] rows, 1 to kTileRows, of bytes[t] bytes, 4 to kTileBytes and a multiple of 4.
struct TileShapes {
  std::uint8_t rows[kTiles],  ///< of each tile
      bytes[kTiles];          ///< of a row of each tile

  /// Whether both are the same.
  friend constexpr bool operator==(const TileShapes&, const TileShapes&) = default;
};

}  // namespace coarsegrad::kernels
