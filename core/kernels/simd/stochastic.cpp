#include "core/kernels/stochastic.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

struct Values {
  const float* x;
  template <class Lanes>
  COARSEGRAD_INLINE F32 at(std::int64_t i, Lanes lanes) const {
    return lanes.load(x + i);
  }
};

struct Combined {
  const Combination<float>& f;
  const float *x, *t;
  template <class Lanes>
  COARSEGRAD_INLINE F32 at(std::int64_t i, Lanes lanes) const {
    return fma(set1(f.a), lanes.load(x + i) - set1(f.center), fma(set1(f.b), lanes.load(t + i), set1(f.c)));
  }
};

// Running extremes; `bad` is 0 as long as all elements are finite and NaN from then on.
struct Extremes {
  F32 low, high, bad;

  template <class Lanes>
  COARSEGRAD_INLINE void add(F32 v, Lanes lanes) {
    low = min(lanes.fill(v, low), low);
    high = max(lanes.fill(v, high), high);
    bad = fma(lanes.fill(v, zero()), zero(), bad);
  }
};

template <class Source>
COARSEGRAD_INLINE void extremes(std::int64_t n, Source source, float* low, float* high) {
  constexpr int kChains = 4;
  constexpr float kInfinity = __builtin_inff();
  Extremes e[kChains];
  for (Extremes& chain : e) chain = {set1(kInfinity), set1(-kInfinity), zero()};
  std::int64_t i = 0;
  for (; i + kChains * kWidth <= n; i += kChains * kWidth)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) e[c].add(source.at(i + c * kWidth, Whole{}), Whole{});
  for_vectors(n - i, [&](std::int64_t j, auto lanes) { e[0].add(source.at(i + j, lanes), lanes); });
  for (int c = 1; c < kChains; ++c) {
    e[0].low = min(e[c].low, e[0].low);
    e[0].high = max(e[c].high, e[0].high);
    e[0].bad = e[0].bad + e[c].bad;
  }
  const float bad = reduce_add(e[0].bad);  // 0, which turns -0 into +0, or NaN
  *low = -reduce_max(-e[0].low) + bad;
  *high = reduce_max(e[0].high) + bad;
}

// Drawn and Nearest give the index of the grid point for q in [0, bins]; NaN for NaN.
struct Drawn {
  const std::uint16_t* draws;
  template <class Lanes>
  COARSEGRAD_INLINE F32 index(F32 q, std::int64_t i, Lanes lanes) const {
    const F32 below = floor(q), draw = to_float(lanes.load(draws + i));
    return below + keep(draw < fma(q - below, set1(65536.f), set1(-0.5f)), set1(1.f));
  }
};
struct Nearest {
  template <class Lanes>
  COARSEGRAD_INLINE F32 index(F32 q, std::int64_t, Lanes) const {
    return round_even(q);
  }
};

struct VectorGrid {
  F32 center, step, inverse, top, half;

  COARSEGRAD_INLINE explicit VectorGrid(const Grid<float>& grid)
      : center(set1(grid.center)),
        step(set1(grid.step)),
        inverse(set1(grid.inverse)),
        top(set1(static_cast<float>(grid.bins))),
        half(set1(static_cast<float>(grid.bins) / 2)) {}
  /// Where v lies between the points, in [0, bins].
  COARSEGRAD_INLINE F32 place(F32 v) const { return max(zero(), min(top, fma(v - center, inverse, half))); }
  COARSEGRAD_INLINE F32 point(F32 index) const { return fma(index - half, step, center); }
};

// body(i, lanes, index) for the indices of all vectors of `source`.
template <class Rule, class Source, class Body>
COARSEGRAD_INLINE void for_indices_by(Rule rule, std::int64_t n, const VectorGrid& grid, Source source, Body body) {
  for_vectors(
      n, [=](std::int64_t i, auto lanes) { body(i, lanes, rule.index(grid.place(source.at(i, lanes)), i, lanes)); });
}

template <class Source, class Body>
COARSEGRAD_INLINE void for_indices(std::int64_t n, const VectorGrid& grid, const std::uint16_t* draws, Source source,
                                   Body body) {
  if (draws)
    for_indices_by(Drawn{draws}, n, grid, source, body);
  else
    for_indices_by(Nearest{}, n, grid, source, body);
}

void range(std::int64_t n, const float* x, float* low, float* high) { extremes(n, Values{x}, low, high); }

void round(std::int64_t n, const Grid<float>& grid, const std::uint16_t* draws, const float* x, float* y) {
  const VectorGrid g(grid);
  for_indices(n, g, draws, Values{x},
              [=](std::int64_t i, auto lanes, F32 index) { lanes.store(y + i, g.point(index)); });
}

void encode(std::int64_t n, const Grid<float>& grid, const std::uint16_t* draws, const float* x, std::uint8_t* codes) {
  for_indices(n, VectorGrid(grid), draws, Values{x},
              [=](std::int64_t i, auto lanes, F32 index) { lanes.store(codes + i, to_int(index)); });
}

void decode(std::int64_t n, const Grid<float>& grid, const std::uint8_t* codes, float* y) {
  const VectorGrid g(grid);
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, g.point(to_float(lanes.load(codes + i)))); });
}

void combine(std::int64_t n, const Combination<float>& f, const float* x, const float* t, float* y) {
  const Combined source{f, x, t};
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, source.at(i, lanes)); });
}

void combined_range(std::int64_t n, const Combination<float>& f, const float* x, const float* t, float* low,
                    float* high) {
  extremes(n, Combined{f, x, t}, low, high);
}

void round_combined(std::int64_t n, const Combination<float>& f, const Grid<float>& grid, const std::uint16_t* draws,
                    const float* x, const float* t, float v, float* y, float* back) {
  const VectorGrid g(grid);
  for_indices(n, g, draws, Combined{f, x, t}, [=](std::int64_t i, auto lanes, F32 index) {
    const F32 point = g.point(index);
    lanes.store(y + i, point);
    lanes.store(back + i, fma(set1(v), point, lanes.load(back + i)));
  });
}

}  // namespace

const Stochastic<float> stochastic{range, round, encode, decode, combine, combined_range, round_combined};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
