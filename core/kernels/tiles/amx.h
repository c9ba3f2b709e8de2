#pragma once
// The tiles of a processor with AMX (layer.h): whoever uses them has asked the operating system first (dispatch.cpp).
// Written as text for the assembler, since the compilers' intrinsics want the numbers of tiles as literals and do not
// say what memory they read.
#include "core/kernels/simd/vec.h"
#include "core/kernels/tiles/layer.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

thread_local TileShapes tiles_are{};  // nothing where tiles are not configured

struct Layer {
  COARSEGRAD_INLINE static void configure(const TileShapes& s) {
    if (__builtin_memcmp(&s, &tiles_are, sizeof s) != 0) load_configuration(s);
  }
  template <int t>
  COARSEGRAD_INLINE static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(t));
  }
  template <int t>
  COARSEGRAD_INLINE static void load(const void* from, std::int64_t row) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(row), "i"(t) : "memory");
  }
  template <int t>
  COARSEGRAD_INLINE static void store(void* to, std::int64_t row) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(row), "i"(t) : "memory");
  }
  template <class In, int c, int a, int b>
  COARSEGRAD_INLINE static void multiply() {
    if constexpr (sizeof(In) == 2)
      asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
    else if constexpr (static_cast<In>(-1) < 0)
      asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
    else
      asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
  }
  static void release() {
    if (tiles_are.rows[0] == 0) return;
    tiles_are = {};
    asm volatile("tilerelease");
  }

 private:
  static void load_configuration(const TileShapes& s) {
    struct {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {};
      std::uint8_t rows[16] = {};
    } memory;
    static_assert(sizeof memory == 64);
    for (int t = 0; t < kTiles; ++t) {
      memory.bytes[t] = s.bytes[t];
      memory.rows[t] = s.rows[t];
    }
    asm volatile("ldtilecfg %0" : : "m"(memory));
    tiles_are = s;
  }
};

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
