#pragma once
// Tiles in plain C++ (layer.h). Everything throws Error where a processor would fault: tiles that are not configured,
// shapes that no tile has, and products of tiles whose shapes do not fit.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/base/check.h"
#include "core/kernels/bfloat16.h"
#include "core/kernels/tiles/layer.h"

namespace coarsegrad::kernels {

/// The tiles of the thread that calls.
class PlainTiles {
 public:
  static void configure(const TileShapes& s) {
    if (state().configured && state().shapes == s) return;
    for (int t = 0; t < kTiles; ++t)
      check(s.rows[t] >= 1 && s.rows[t] <= kTileRows && s.bytes[t] >= 4 && s.bytes[t] <= kTileBytes &&
                s.bytes[t] % 4 == 0,
            "tiles: given ", int{s.rows[t]}, " rows of ", int{s.bytes[t]}, " bytes, expected up to ", kTileRows, " of ",
            kTileBytes);
    state() = {.configured = true, .shapes = s, .configurations = state().configurations + 1, .tiles = {}};
  }
  template <int t>
  static void zero() {
    std::memset(tile(t), 0, sizeof state().tiles[t]);
  }
  template <int t>
  static void load(const void* from, std::int64_t row) {
    zero<t>();
    for (int r = 0; r < state().shapes.rows[t]; ++r)
      std::memcpy(tile(t)[r], static_cast<const char*>(from) + r * row, state().shapes.bytes[t]);
  }
  template <int t>
  static void store(void* to, std::int64_t row) {
    const auto* const from = tile(t);
    for (int r = 0; r < state().shapes.rows[t]; ++r)
      std::memcpy(static_cast<char*>(to) + r * row, from[r], state().shapes.bytes[t]);
  }
  template <class In, int c, int a, int b>
  static void multiply() {
    const TileShapes& s = state().shapes;
    check(s.rows[c] == s.rows[a] && s.bytes[c] == s.bytes[b] && s.bytes[a] == 4 * s.rows[b],
          "tiles: given products of ", int{s.rows[a]}, " x ", int{s.bytes[a]}, " and ", int{s.rows[b]}, " x ",
          int{s.bytes[b]}, " bytes for ", int{s.rows[c]}, " x ", int{s.bytes[c]}, ", expected shapes that fit");
    for (int i = 0; i < s.rows[c]; ++i)
      for (int j = 0; j < s.bytes[c] / 4; ++j)
        if constexpr (std::is_same_v<In, Bfloat16>)
          add_floats<c>(tile(a)[i], tile(b), i, j, s.bytes[a]);
        else
          add_codes<In, c>(tile(a)[i], tile(b), i, j, s.bytes[a]);
  }
  static void release() { state().configured = false; }

  /// Whether this thread holds tiles.
  static bool held() { return state().configured; }
  /// How often this thread has configured its tiles anew.
  static std::int64_t configurations() { return state().configurations; }

 private:
  struct State {
    bool configured;
    TileShapes shapes;
    std::int64_t configurations;
    std::uint8_t tiles[kTiles][kTileRows][kTileBytes];
  };
  static State& state() {
    thread_local State s{};
    return s;
  }
  using Row = std::uint8_t[kTileBytes];

  template <class In, int c>
  static void add_codes(const Row& a, const Row* b, int i, int j, int bytes) {
    std::uint32_t sum;  // wraps around, as the instruction does
    std::memcpy(&sum, tile(c)[i] + 4 * j, sizeof sum);
    for (int k = 0; k < bytes; ++k)
      sum += static_cast<std::uint32_t>(static_cast<In>(a[k]) * static_cast<std::int8_t>(b[k / 4][4 * j + k % 4]));
    std::memcpy(tile(c)[i] + 4 * j, &sum, sizeof sum);
  }
  // As the instruction does it, whatever the thread's mode is.
  static float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.f, x) : x; }
  static float element(const std::uint8_t* from) {
    Bfloat16 x;
    std::memcpy(&x, from, sizeof x);
    return flushed(to_float(x));
  }
  template <int c>
  static void add_floats(const Row& a, const Row* b, int i, int j, int bytes) {
    float sums[2] = {};  // of even places and of odd ones
    for (int k = 0; k < bytes / 2; ++k)
      sums[k % 2] = flushed(std::fma(element(a + 2 * k), element(b[k / 2] + 4 * j + k % 2 * 2), sums[k % 2]));
    float sum;
    std::memcpy(&sum, tile(c)[i] + 4 * j, sizeof sum);
    sum = flushed(flushed(sum) + flushed(sums[0] + sums[1]));
    std::memcpy(tile(c)[i] + 4 * j, &sum, sizeof sum);
  }
  static Row* tile(int t) {
    check(state().configured, "tiles: given none that are configured, expected configure() before");
    return state().tiles[t];
  }
};

}  // namespace coarsegrad::kernels
