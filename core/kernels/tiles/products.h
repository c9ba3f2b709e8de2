#pragma once
// Blocks of products on tiles, over any Layer (layer.h): of codes (CodeTile), or of bfloat16 (Bfloat16Tile). A tile of A is
// up to 16 rows as they lie in memory, 64 bytes of each; a tile of B is 16 steps of a packed panel, 16 columns of it. A
// step is four bytes of each row. One multiplication is 16 x 16 x 64 products of codes, half as many of bfloat16.
//
// Four tiles hold sums, in blocks of rows times vectors of columns: 4 x 1, 2 x 2, 1 x 3 or 1 x 4. The four others
// hold A and B. A run of steps is cut into equal parts where it can be, and there are two tiles for each of A and B
// then; else into whole tiles and a rest, which have a tile for each of A and B.
#include "core/kernels/matmul_bfloat16.h"
#include "core/kernels/matmul_codes.h"
#include "core/kernels/tiles/layer.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

constexpr int kTileLanes = 16;                        // columns of a tile of sums
constexpr int kStepBytes = 4;                         // of a row of A, or of a column of B
constexpr int kTileSteps = kTileBytes / kStepBytes;   // steps of a tile of A or B
constexpr int kMaxTileRows[5] = {0, 64, 32, 16, 16};  // by vectors
constexpr int kFirstA = 4, kFirstB = 6;               // the sums are tiles 0 to 3
constexpr int kTileSums = kTileRows * kTileLanes;     // of one tile

/// How a run of steps is cut: `parts` of them with `steps` steps each, and one of `rest` steps.
struct RunParts {
  std::int64_t parts;
  int steps, rest;
};

RunParts parts_of_run(std::int64_t steps) {
  const std::int64_t parts = (steps + kTileSteps - 1) / kTileSteps;
  if (parts == 0) return {0, 1, 0};  // no products, but tiles all the same
  if (steps % parts == 0) return {parts, static_cast<int>(steps / parts), 0};
  return {steps / kTileSteps, kTileSteps, static_cast<int>(steps % kTileSteps)};
}

/// What A, B and their sums are made of.
template <class Tile>
struct ElementsOf;
template <class CodeOfA>
struct ElementsOf<CodeTile<CodeOfA>> {
  using In = CodeOfA;
  using Packed = std::int8_t;
  using Sum = std::int32_t;
};
template <>
struct ElementsOf<Bfloat16Tile> {
  using In = Bfloat16;
  using Packed = Bfloat16;
  using Sum = float;
};

/// Sums of kBlocks blocks of `rows` rows and kVectors vectors of columns.
template <class Layer, class Tile, int kBlocks, int kVectors>
struct TileProduct {
  using In = typename ElementsOf<Tile>::In;
  using Packed = typename ElementsOf<Tile>::Packed;
  using Sum = typename ElementsOf<Tile>::Sum;
  static constexpr int kPerStep = kStepBytes / static_cast<int>(sizeof(In));  // elements of A

  const Tile& t;
  int rows;

  static constexpr std::int64_t bytes(std::int64_t elements) {
    return elements * static_cast<std::int64_t>(sizeof(In));
  }
  /// The first row of a block. Blocks are equally large: the last one may have some rows of the one before again.
  std::int64_t first_row(int block) const { return block < kBlocks - 1 ? block * rows : t.rows - rows; }

  /// Adds one part of a run. Of A and of B `kPair` tiles take turns.
  template <int kA, int kB, int kPair, int v = 0, int i = 0>
  void add(const In* a, const Packed* b) const {
    if constexpr (v < kVectors) {
      if constexpr (i == 0) Layer::template load<kB + v % kPair>(b + v * kTileLanes * kPerStep, bytes(t.b_step[2]));
      if constexpr (v == 0 || kBlocks > kPair)
        Layer::template load<kA + i % kPair>(a + first_row(i) * t.a_row, bytes(t.a_row));
      Layer::template multiply<In, i * kVectors + v, kA + i % kPair, kB + v % kPair>();
      if constexpr (i + 1 < kBlocks)
        add<kA, kB, kPair, v, i + 1>(a, b);
      else
        add<kA, kB, kPair, v + 1, 0>(a, b);
    }
  }

  /// Adds all runs.
  template <bool kRest>
  void add_runs(const RunParts& run) const {
    constexpr int kPair = kRest ? 1 : 2;
    for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
      for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1) {
        const In* a = t.a + s0 * t.a_step[0] + s1 * t.a_step[1];
        const Packed* b = t.b + s0 * t.b_step[0] + s1 * t.b_step[1];
        for (std::int64_t part = run.parts; part > 0; --part, a += run.steps * kPerStep, b += run.steps * t.b_step[2])
          add<kFirstA, kFirstB, kPair>(a, b);
        if constexpr (kRest) add<kFirstA + 1, kFirstB + 1, kPair>(a, b);
      }
  }

  template <int tile = 0>
  static void zero() {
    if constexpr (tile < kBlocks * kVectors) {
      Layer::template zero<tile>();
      zero<tile + 1>();
    }
  }
  template <int tile = 0>
  static void store(Sum* sums) {
    if constexpr (tile < kBlocks * kVectors) {
      Layer::template store<tile>(sums + tile * kTileSums, kTileLanes * static_cast<int>(sizeof *sums));
      store<tile + 1>(sums);
    }
  }

  TileShapes shapes(const RunParts& run) const {
    TileShapes s;
    const int rest = run.rest > 0 ? run.rest : run.steps;
    for (int i = 0; i < kTiles; ++i) {
      const int steps = i % 2 == 0 ? run.steps : rest;
      s.rows[i] = static_cast<std::uint8_t>(i < kFirstB ? rows : steps);
      s.bytes[i] = static_cast<std::uint8_t>(i < kFirstA || i >= kFirstB ? kTileBytes : steps * kStepBytes);
    }
    return s;
  }

  /// sums: a tile of sums for each block and vector.
  void run(Sum* sums) const {
    const RunParts parts = parts_of_run(t.steps[2]);
    Layer::configure(shapes(parts));
    zero();
    parts.rest > 0 ? add_runs<true>(parts) : add_runs<false>(parts);
    store(sums);
  }
};

/// A tile of products; `finish` writes a block of sums: finish(sums, rows, columns, first row, first column), for
/// each row once.
template <class Layer, int kBlocks, int kVectors, class Tile, class Finish>
void multiply_blocks(const Tile& t, const Finish& finish) {
  alignas(kTileBytes) typename ElementsOf<Tile>::Sum sums[kBlocks * kVectors * kTileSums];
  const TileProduct<Layer, Tile, kBlocks, kVectors> product{t, (t.rows + kBlocks - 1) / kBlocks};
  product.run(sums);
  for (int i = 0; i < kBlocks; ++i) {
    const int again = i + 1 < kBlocks ? 0 : kBlocks * product.rows - t.rows;  // rows of the block before
    for (int v = 0; v < kVectors; ++v)
      finish(sums + (i * kVectors + v) * kTileSums + again * kTileLanes, product.rows - again,
             v + 1 < kVectors ? kTileLanes : t.columns - v * kTileLanes, product.first_row(i) + again, v * kTileLanes);
  }
}

template <class Layer, class Tile, class Finish>
void multiply_on_tiles(const Tile& t, const Finish& finish) {
  const int vectors = (t.columns + kTileLanes - 1) / kTileLanes, blocks = (t.rows + kTileRows - 1) / kTileRows;
  if (vectors == 4) return multiply_blocks<Layer, 1, 4>(t, finish);
  if (vectors == 3) return multiply_blocks<Layer, 1, 3>(t, finish);
  if (vectors == 2)
    return blocks == 1 ? multiply_blocks<Layer, 1, 2>(t, finish) : multiply_blocks<Layer, 2, 2>(t, finish);
  if (blocks == 1) return multiply_blocks<Layer, 1, 1>(t, finish);
  if (blocks == 2) return multiply_blocks<Layer, 2, 1>(t, finish);
  if (blocks == 3) return multiply_blocks<Layer, 3, 1>(t, finish);
  multiply_blocks<Layer, 4, 1>(t, finish);
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
