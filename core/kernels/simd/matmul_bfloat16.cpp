#include "core/kernels/matmul_bfloat16.h"

#include "core/kernels/simd/tile_rows.h"
#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
#ifdef __AVX512BF16__
namespace {

constexpr int kVector = kBfloat16PerStep * static_cast<int>(kLanes);  // elements of B in a vector

struct Bfloat16Products {
  using Sum = F32;
  using A = I32;  // two elements in each lane
  using B = I32;

  COARSEGRAD_INLINE static I32 broadcast(const char* from) {
    std::int32_t two;
    __builtin_memcpy(&two, from, sizeof two);
    return set1(two);
  }
  COARSEGRAD_INLINE static F32 add(I32 a, I32 b, F32 sum) {
    return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
  }
  template <int kVectors>
  COARSEGRAD_INLINE I32 load(const Bfloat16* b, int v) const {
    return kernels::COARSEGRAD_TARGET::load(reinterpret_cast<const std::int32_t*>(b + v * kVector));
  }
};

constexpr std::int64_t bytes(std::int64_t elements) { return elements * static_cast<std::int64_t>(sizeof(Bfloat16)); }

template <int kRows, int kVectors>
void tile_of(const Bfloat16Tile& t) {
  const std::size_t tail = static_cast<std::size_t>(t.columns) - (kVectors - 1) * kLanes;
  const RowDistance d(bytes(t.a_row));
  TileSums<Bfloat16Products, kRows, kVectors> sums;
  start_floats(sums, t, tail);
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      add_run(Bfloat16Products{}, sums, t.steps[2], t.a + s0 * t.a_step[0] + s1 * t.a_step[1], bytes(t.a_step[2]),
              t.b + s0 * t.b_step[0] + s1 * t.b_step[1], t.b_step[2], d);
  store_floats(sums, t, tail);
}

constexpr int kMaxRows[] = {0, 16, 14, 9, 6};

template <int kVectors, int kRows>
struct Sized {
  static void run(const Bfloat16Tile& t) { tile_of<kRows, kVectors>(t); }
};

constexpr TileFunctions<Bfloat16Tile> kFunctions = list_functions<Bfloat16Tile, Sized, kMaxRows>();

void tile(const Bfloat16Tile& t) { run(kFunctions, t); }

}  // namespace

const MatmulBfloat16 matmul_bfloat16{
    static_cast<int>(kLanes), {kMaxRows[0], kMaxRows[1], kMaxRows[2], kMaxRows[3], kMaxRows[4]}, 1, tile};

#else

const MatmulBfloat16 matmul_bfloat16{0, {}, 1, nullptr};

#endif
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
