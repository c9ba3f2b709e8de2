#pragma once
// Activations whose derivative is 0 or 1. The forward pass hands out that derivative as a mask of one bit per
// element (bit i % 8 of byte i / 8), which is all that the backward pass needs. T is float or double. All
// results are bitwise the same for any number of threads; all but the sums of quantize_alpha_gradient also
// for every kernel table.
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/kernels/activation.h"

namespace coarsegrad {

/// Bytes of the mask of n elements.
constexpr std::size_t mask_bytes(std::int64_t n) { return static_cast<std::size_t>((n + 7) / 8); }

/// y = max(x, 0): x where x > 0 or x is NaN, else +0. mask (may be null): x > 0. y may be x, or null.
template <class T>
void relu_forward(std::int64_t n, const T* x, T* y, std::uint8_t* mask = nullptr);

/// dx = dy where the mask is 1, else 0. dx may be dy.
template <class T>
void mask_backward(std::int64_t n, const std::uint8_t* mask, const T* dy, T* dx);

/// Where the straight-through estimator of the quantizer passes gradients on. Names as in the papers.
enum class Ste { identity, relu, clipped_relu };
using kernels::AlphaRule;

/// The quantized ReLU sigma(x, alpha) = alpha * min(levels, ceil(x / alpha)) for x > 0, else 0
/// (paper-ste 7.1, paper-bcgd 2). The level is that of the quotient q = x / alpha as T rounds it. With
/// denormals flushed, as in every parallel_for, a denormal x or q is 0.
template <class T>
struct Quantizer {
  T alpha;     ///< resolution: finite, > 0, a normal number
  int levels;  ///< 2^bits - 1: 1 to 255
};

/// Throws Error for a quantizer out of range.
template <class T>
void check_quantizer(Quantizer<T> quantizer);
/// Largest quotient at which the backward pass of `ste` is 1; infinite where there is none.
template <class T>
T window_of(Quantizer<T> quantizer, Ste ste) {
  return ste == Ste::clipped_relu ? static_cast<T>(quantizer.levels) : std::numeric_limits<T>::infinity();
}

/// Any of the outputs may be null. y: values, NaN where x is NaN; y may be x. codes: level indices (0 for
/// NaN). mask: where the backward pass of `ste` is 1: q > 0 for relu, 0 < q <= levels for clipped_relu; none
/// is written for identity. Returns whether there is a NaN. Throws Error for a quantizer out of range.
template <class T>
bool quantize_forward(std::int64_t n, const T* x, Quantizer<T> quantizer, Ste ste, T* y, std::uint8_t* codes,
                      std::uint8_t* mask);

/// y = alpha * codes: what quantize_forward wrote to y, but for NaN.
template <class T>
void quantize_decode(std::int64_t n, const std::uint8_t* codes, T alpha, T* y);

/// Sum over all elements of dy * d sigma / d alpha (paper-bcgd 2), from the input.
template <class T>
double quantize_alpha_gradient(std::int64_t n, const T* x, const T* dy, Quantizer<T> quantizer,
                               AlphaRule rule);

/// The same from the codes and the clipped_relu mask that the forward pass saved (null will do for
/// AlphaRule::exact).
template <class T>
double quantize_alpha_gradient(std::int64_t n, const std::uint8_t* codes, const std::uint8_t* clipped_mask,
                               const T* dy, int levels, AlphaRule rule);

}  // namespace coarsegrad
