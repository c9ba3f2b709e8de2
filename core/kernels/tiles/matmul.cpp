// Products of codes and of bfloat16 on tiles, which the threads of both share: compiled for the instructions (table
// `amx`), and once more for the tiles in plain C++ (table `plain_tiles`).
#include "core/kernels/matmul_bfloat16.h"
#include "core/kernels/matmul_codes.h"
#include "core/kernels/tables.h"
#ifdef __AVX512F__
#include "core/kernels/simd/pack_codes.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tiles/amx.h"
#else
#include <cmath>

#include "core/kernels/scalar/pack_codes.h"
#include "core/kernels/tiles/plain.h"
#endif
#include "core/kernels/tiles/products.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// Both have, for a block of sums that lie kTileLanes apart from row to row, `columns` of them in each row,
//   copy(sums, rows, columns, to, to_row)                to = sums
//   scale(sums, rows, columns, factors, bias, to, to_row)  to = one fused multiply-add of each; bias may be null
//   add(sums, rows, columns, bias, accumulate, to, to_row)  to = floats + (to, or bias, or 0)
#ifdef __AVX512F__

static_assert(kLanes == kTileLanes);

void copy(const std::int32_t* sums, int rows, int columns, std::int32_t* to, std::int64_t to_row) {
  for (int i = 0; i < rows; ++i, sums += kTileLanes, to += to_row)
    store_tail(to, load(sums), static_cast<std::size_t>(columns));
}

void scale(const std::int32_t* sums, int rows, int columns, const float* factors, const float* bias, float* to,
           std::int64_t to_row) {
  const std::size_t n = static_cast<std::size_t>(columns);
  const F32 factor = load_tail(factors, n), added = bias ? load_tail(bias, n) : zero();
  for (int i = 0; i < rows; ++i, sums += kTileLanes, to += to_row)
    store_tail(to, fma(factor, to_float(load(sums)), added), n);
}

void add(const float* sums, int rows, int columns, const float* bias, bool accumulate, float* to, std::int64_t to_row) {
  const std::size_t n = static_cast<std::size_t>(columns);
  const F32 added = bias ? load_tail(bias, n) : zero();
  for (int i = 0; i < rows; ++i, sums += kTileLanes, to += to_row)
    store_tail(to, load(sums) + (accumulate ? load_tail(to, n) : added), n);
}

constexpr auto pack_panel = pack;

#else

using Layer = PlainTiles;

void copy(const std::int32_t* sums, int rows, int columns, std::int32_t* to, std::int64_t to_row) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) to[i * to_row + j] = sums[i * kTileLanes + j];
}

void scale(const std::int32_t* sums, int rows, int columns, const float* factors, const float* bias, float* to,
           std::int64_t to_row) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j)
      to[i * to_row + j] = std::fma(factors[j], static_cast<float>(sums[i * kTileLanes + j]), bias ? bias[j] : 0.f);
}

void add(const float* sums, int rows, int columns, const float* bias, bool accumulate, float* to, std::int64_t to_row) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      float& c = to[i * to_row + j];
      c = sums[i * kTileLanes + j] + (accumulate ? c : bias ? bias[j] : 0.f);
    }
}

constexpr auto pack_panel = scalar::pack_codes;

#endif

template <class In>
void tile(const CodeTile<In>& t) {
  multiply_on_tiles<Layer>(t, [&t](const std::int32_t* sums, int rows, int columns, std::int64_t row, int column) {
    const std::int64_t at = row * t.c_row + column;
    if (t.sums)
      copy(sums, rows, columns, t.sums + at, t.c_row);
    else
      scale(sums, rows, columns, t.scale + column, t.bias ? t.bias + column : nullptr, t.c + at, t.c_row);
  });
}

void tile_of_bfloat16(const Bfloat16Tile& t) {
  multiply_on_tiles<Layer>(t, [&t](const float* sums, int rows, int columns, std::int64_t row, int column) {
    add(sums, rows, columns, t.bias ? t.bias + column : nullptr, t.accumulate, t.c + row * t.c_row + column, t.c_row);
  });
}

template <class In>
constexpr CodeProduct<In> kProduct{
    kTileLanes,
    {kMaxTileRows[0], kMaxTileRows[1], kMaxTileRows[2], kMaxTileRows[3], kMaxTileRows[4]},
    kTileRows,
    tile<In>,
    pack_panel};

}  // namespace

const MatmulCodes matmul_codes{kProduct<std::uint8_t>, kProduct<std::int8_t>, nullptr, Layer::release};
const MatmulBfloat16 matmul_bfloat16{
    kTileLanes,
    {kMaxTileRows[0], kMaxTileRows[1], kMaxTileRows[2], kMaxTileRows[3], kMaxTileRows[4]},
    kTileRows,
    tile_of_bfloat16};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
