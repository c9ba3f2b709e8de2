#pragma once
// Lloyd's alternation between the codes of a group of weights and their scale delta
// (quant/math/uniform_weight.h):
//   q = clip(round(w / delta), -K, K);  delta = <w, q> / <q, q>.
// Each step lowers |w - delta q|^2 or ends the alternation, not always at the nearest point of the grid. A
// training projects weights that have hardly moved again and again: one or two steps from the last delta keep
// it near its fixed point at a fraction of the cost of the exact projection. Source: Yin, Zhang, Lyu, Osher,
// Qi, Xin: BinaryRelax (SIAM J. Imaging Sci. 2018), section 2; the starts are ours. T is float or double.
#include <cstdint>
#include <span>

namespace coarsegrad {

/// `steps` >= 1 steps from `delta`; writes the codes and returns the last delta: 0 when all codes are 0, NaN
/// when some weight is not finite. `levels` is K.
template <class T>
double lloyd(std::span<const T> w, double delta, int steps, int levels, std::int8_t* codes);

/// The best of three starts, max|w| / K, 2 mean|w| / K and mean|w|, each followed to its end or for 100 steps.
template <class T>
double lloyd_cold(std::span<const T> w, int levels, std::int8_t* codes);

/// `steps` steps from the delta that much the same weights ended with; lloyd_cold() where there is none (0 or NaN), and
/// where the weights have shrunk so much that all codes would be 0.
template <class T>
double lloyd_warm(std::span<const T> w, double delta, int steps, int levels, std::int8_t* codes);

}  // namespace coarsegrad
