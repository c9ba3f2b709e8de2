#pragma once
// Kernels for activations whose derivative is 0 or 1, which is kept as one bit: bit i % 8 of byte i / 8
// belongs to element i, and the unused bits of the last byte are 0. Everything but the gradients of parameters is
// exact: all tables give the same bits.
#include <cstdint>

namespace coarsegrad::kernels {

/// What stands for d sigma / d alpha, by region: 0 < q <= levels | q > levels; 0 elsewhere and for NaN. Sources:
/// quant/math/uniform_activation.h.
enum class AlphaRule {
  exact,         ///< code | levels: the derivative almost everywhere
  three_valued,  ///< (levels + 1) / 2 | levels
  pact,          ///< 0 | levels
};

/// How a quotient q becomes a code; NaN becomes 0.
enum class Rounding {
  up,       ///< 0 unless q > 0, else min(levels, ceil(q))
  nearest,  ///< 0 unless q > 0, else min(levels, the nearest integer, the even one of two)
  sign,     ///< +1 where q >= 0, else -1, as a signed byte
};

/// Codes of x are taken from q = x * steps / alpha in the arithmetic of T, never from x * (1 / alpha); with
/// denormals flushed, as in every parallel_for, a denormal x or q is 0. The value of a code is scale() times
/// it, NaN where x is NaN.
template <class T>
struct Quantizer {
  T alpha;                           ///< resolution, or `steps` of them: finite, > 0, a normal number
  int levels;                        ///< 1 to 255
  Rounding rounding = Rounding::up;  ///< from q to the code
  T steps = 1;                       ///< > 0
  /// Value of the code 1.
  T scale() const { return alpha / steps; }
};

/// Quotients that a mask lets pass: above < q <= upto.
template <class T>
struct PassBand {
  T above,   ///< exclusive
      upto;  ///< inclusive
};

/// Activations, and the gradients of their parameters, over arrays of n elements.
template <class T>
struct Activation {
  /// y = x where x > 0 or x is NaN, else +0; mask = x > 0. y may be x; y and mask may be null.
  void (*relu)(std::int64_t n, const T* x, T* y, std::uint8_t* mask);
  /// y = values; codes (0 for NaN); mask: where q is in `pass`. Any of the three may be null. y may be x.
  /// Returns whether there is a NaN.
  bool (*quantize)(std::int64_t n, const T* x, Quantizer<T> quantizer, PassBand<T> pass, T* y, std::uint8_t* codes,
                   std::uint8_t* mask);
  /// y = alpha * codes.
  void (*decode)(std::int64_t n, const std::uint8_t* codes, T alpha, T* y);
  /// dx = dy where the mask is 1, else +0. dx may be dy.
  void (*apply_mask)(std::int64_t n, const std::uint8_t* mask, const T* dy, T* dx);
  /// Sum of dy * d sigma / d alpha, for q = x / alpha rounded up. Agrees within kSumError times the sum of
  /// absolute values.
  double (*alpha_gradient)(std::int64_t n, const T* x, const T* dy, T alpha, int levels, AlphaRule rule);
  /// The sum of alpha_gradient from what a forward pass saved: its codes and, unless the alpha rule is exact, its mask
  /// for the pass band 0 < q <= levels.
  double (*alpha_gradient_codes)(std::int64_t n, const std::uint8_t* codes, const std::uint8_t* mask, const T* dy,
                                 int levels, AlphaRule rule);
  /// Sum of dy * (code - q) where 0 < q = x / step <= levels, of dy * code elsewhere. Agrees as alpha_gradient does.
  double (*step_gradient)(std::int64_t n, const T* x, const std::uint8_t* codes, const T* dy, T step, int levels);
};

}  // namespace coarsegrad::kernels
