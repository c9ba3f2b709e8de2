#pragma once
// Products of small codes without the instruction for four of them: pairs of products are added in 16 bits, and so are
// the pairs of all steps of a tile, which are widened once. Included by matmul_codes.cpp, whose vectors these are.
#ifndef __AVX512VNNI__
#include "core/kernels/matmul_codes.h"
#include "core/kernels/simd/tile_rows.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

using PairSum = std::int16_t __attribute__((vector_size(4 * kLanes)));
COARSEGRAD_INLINE PairSum as_pairs(I32 a) { return reinterpret_cast<PairSum>(a.v); }
COARSEGRAD_INLINE I32 as_int(PairSum a) { return {reinterpret_cast<decltype(I32::v)>(a)}; }

#ifdef __AVX512F__
constexpr int kMaxSmallRows[5] = {0, 16, 14, 0, 0};
COARSEGRAD_INLINE I32 multiply_bytes(I32 a, I32 b) { return {_mm512_maddubs_epi16(a.v, b.v)}; }
#else
constexpr int kMaxSmallRows[5] = {0, 12, 6, 0, 0};
COARSEGRAD_INLINE I32 multiply_bytes(I32 a, I32 b) { return {_mm256_maddubs_epi16(a.v, b.v)}; }
#endif

struct SmallProducts {
  using Sum = PairSum;
  using A = I32;
  using B = I32;

  COARSEGRAD_INLINE static I32 broadcast(const char* from) {
    std::int32_t bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    return set1(bytes);
  }
  COARSEGRAD_INLINE static PairSum add(I32 a, I32 b, PairSum sum) { return sum + as_pairs(multiply_bytes(a, b)); }
  template <int kVectors>
  COARSEGRAD_INLINE I32 load(const std::int8_t* b, int v) const {
    return kernels::COARSEGRAD_TARGET::load(
        reinterpret_cast<const std::int32_t*>(b + v * kCodesPerStep * static_cast<int>(kLanes)));
  }
};

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
#endif
