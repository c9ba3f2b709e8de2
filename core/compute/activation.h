#pragma once
// Activations whose derivative is 0 or 1. The forward pass hands out that derivative as a mask of one bit per
// element (bit i % 8 of byte i / 8), which is all that the backward pass needs. T is float or double. All
// results are bitwise the same for any number of threads, and all but the sums of the quantize_..._gradient
// functions for every kernel table, too.
#include <cstddef>
#include <cstdint>
#include <type_traits>

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

using kernels::AlphaRule;

/// Throws Error unless the quantizer has 1 to 255 levels, and alpha, steps and their quotient are normal and above 0.
template <class T>
void check_quantizer(kernels::Quantizer<T> quantizer);

/// The quantized ReLU of the papers (Rounding::up: Yin et al. 2018 and 2019; Rounding::nearest: most others)
/// or a sign. Any of the outputs may be null. y: values, NaN where x is NaN; y may be x. codes: 0 for NaN.
/// mask: where the quotient q = x * steps / alpha is in `pass`. Returns whether there is a NaN.
/// Throws Error for a quantizer out of range.
template <class T>
bool quantize_forward(std::int64_t n, const T* x, kernels::Quantizer<T> quantizer,
                      const std::type_identity_t<kernels::PassBand<T>>& pass, T* y, std::uint8_t* codes,
                      std::uint8_t* mask);

/// y = alpha * codes: what quantize_forward wrote to y, but for NaN.
template <class T>
void quantize_decode(std::int64_t n, const std::uint8_t* codes, T alpha, T* y);

/// Sum over all elements of dy * d sigma / d alpha, from the input of a quantizer that rounds up x / alpha.
/// Source: Yin et al. 2018, section 2 (number unverified). Throws Error for any other quantizer.
template <class T>
double quantize_alpha_gradient(std::int64_t n, const T* x, const T* dy, kernels::Quantizer<T> quantizer,
                               AlphaRule rule);

/// The same sum from the codes and the clipped_relu mask that the forward pass saved. Throws Error where the mask is
/// null, unless the alpha rule is AlphaRule::exact.
template <class T>
double quantize_alpha_gradient(std::int64_t n, const std::uint8_t* codes, const std::uint8_t* clipped_mask, const T* dy,
                               int levels, AlphaRule rule);

/// Sum over all elements of dy * d y / d step for y = step * code with code = the integer nearest to q =
/// x / step: code - q where 0 < q <= levels, code elsewhere. Source: Esser et al., arXiv 1902.08153,
/// equation 3 (number unverified).
template <class T>
double quantize_step_gradient(std::int64_t n, const T* x, const std::uint8_t* codes, const T* dy,
                              kernels::Quantizer<T> quantizer);

}  // namespace coarsegrad
