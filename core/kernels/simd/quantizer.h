#pragma once
// Vectors of the activation quantizer (core/kernels/activation.h). All of it is local to the translation unit, as in
// vec.h.
#include "core/kernels/activation.h"
#include "core/kernels/simd/sweep.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

template <Rounding rounding>
struct VectorQuantizer {
  F32 alpha, steps, levels, scale, above, upto;

  VectorQuantizer(const Quantizer<float>& q, const PassBand<float>& pass)
      : alpha(set1(q.alpha)),
        steps(set1(q.steps)),
        levels(set1(static_cast<float>(q.levels))),
        scale(set1(q.alpha / q.steps)),
        above(set1(pass.above)),
        upto(set1(pass.upto)) {}

  COARSEGRAD_INLINE F32 quotient(F32 x) const { return x * steps / alpha; }
  /// NaN where q is NaN, and no -0: adding 0 turns it into +0.
  COARSEGRAD_INLINE F32 code(F32 q) const {
    if constexpr (rounding == Rounding::sign) return select(q < zero(), set1(-1.f), select(q == q, set1(1.f), q));
    const F32 level = rounding == Rounding::up ? ceil(q) : round_even(q);
    return min(levels, max(zero(), level)) + zero();
  }
  /// Stores a code as a byte, 0 for NaN.
  template <class Lanes>
  COARSEGRAD_INLINE void store_code(Lanes lanes, std::uint8_t* to, F32 code) const {
    const I32 integer = to_int(keep(code == code, code));
    if constexpr (rounding == Rounding::sign)
      lanes.store(reinterpret_cast<std::int8_t*>(to), integer);
    else
      lanes.store(to, integer);
  }
  COARSEGRAD_INLINE Mask passes(F32 q) const { return (q > above) & (q <= upto); }
};

/// f(VectorQuantizer<rounding of q>)
template <class F>
COARSEGRAD_INLINE bool with_quantizer(const Quantizer<float>& q, const PassBand<float>& pass, F f) {
  if (q.rounding == Rounding::up) return f(VectorQuantizer<Rounding::up>(q, pass));
  if (q.rounding == Rounding::nearest) return f(VectorQuantizer<Rounding::nearest>(q, pass));
  return f(VectorQuantizer<Rounding::sign>(q, pass));
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
