#pragma once
// Uniform grids for weights and the projections onto them, as mathematics over one group of weights (those of
// a layer, or of one of its output channels) that share a scale delta:
//   min over delta >= 0 and codes q of |w - delta q|^2,  q in {-1, +1} for 1 bit, {-K, ..., K} for more,
// with K = 2^(bits-1) - 1. For given codes the best delta is sum |w q| / sum q^2; for a given delta the best
// codes are the nearest ones. A projection therefore is a choice of ascending thresholds t_1, ..., t_K: the
// code of w has the sign of w and the size "number of thresholds that |w| reaches", and delta follows. T is
// float or double; everything is bitwise the same for any number of threads and any kernel table. Source: Yin
// et al., "Blended coarse gradient descent for full quantization of deep neural networks" (2018), section 3.
#include <cstdint>
#include <span>
#include <vector>

namespace coarsegrad {

/// K: 1 for 1 and 2 bits, 2^(bits-1) - 1 beyond. Throws UsageError unless 1 <= bits <= 8.
int highest_weight_level(int bits);

/// Sizes of a group of weights.
template <class T>
struct Magnitude {
  double sum;  ///< of |w|; NaN or infinite if some w is
  T max;       ///< largest |w|; NaN passed over
};
/// The sum and the largest of |w|.
template <class T>
Magnitude<T> magnitude(std::span<const T> w);

/// 1 bit: code sign(w), so that delta = mean |w|, the exact projection. sign_of_zero: +1, or 0, which keeps
/// zeros and takes them out of the grid {-delta, +delta}. Throws UsageError for another sign.
template <class T>
std::vector<T> binary_thresholds(int sign_of_zero = 1);

/// `levels` thresholds, by which a code is the integer nearest to |w| / delta, half-integers down: |w| > (k - 1/2)
/// delta.
template <class T>
std::vector<T> nearest_thresholds(double delta, int levels);

/// Where one step of Lloyd's alternation begins: delta = 2 max|w| / (2^bits - 1). bits >= 2.
double lloyd_start(double max, int bits);

/// The thresholds of the exact projection, which has the smallest |w - delta q|; doubles below 1e-140 count as 0
/// (quant/math/weight_sweep.h).
template <class T>
std::vector<T> exact_thresholds(std::span<const T> w, int levels);

/// Writes the codes and returns delta: 0 if all codes are 0, NaN if some weight is not finite.
template <class T>
double encode_weights(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes);

}  // namespace coarsegrad
