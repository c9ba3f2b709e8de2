#pragma once
// The grid of DoReFa-Net (Zhou, Wu, Ni, Zhou, Wen, Zou, arXiv 1606.06160, equation 5), which its weights and its
// activations share: 0, 1/n, ..., 1 with n = 2^k - 1. The nearest level, the even one of two.
#include "core/base/check.h"
#include "core/kernels/activation.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {

/// The most bits whose codes fit a byte.
inline constexpr int kMostCodedUnitBits = 8, kMostUnitBits = 16;  ///< the most bits that there are

/// n = 2^bits - 1. Throws UsageError unless 1 <= bits <= 16.
inline int highest_unit_level(int bits) {
  check_usage(bits >= 1 && bits <= kMostUnitBits, "dorefa: given ", bits, " bits, expected 1 to ", kMostUnitBits);
  return (1 << bits) - 1;
}

/// The quantizer onto the grid. Throws UsageError unless 1 <= bits <= 8.
template <class T>
kernels::Quantizer<T> unit_interval(int bits) {
  const int n = highest_level(bits);
  return {1, n, kernels::Rounding::nearest, static_cast<T>(n)};
}

}  // namespace coarsegrad
