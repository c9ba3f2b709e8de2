#pragma once
// Power-of-two weights as mathematics over one group of weights (those of a layer, or of one of its output
// channels) that share a scale 2^s:
//   min over integers s and Q of |w - 2^s Q|^2,  Q in {0, +-2^(1-n), ..., +-1/2, +-1},  n = 2^(bits-2).
// A code k has the sign of the weight and a size from 0 to n: Q = 0 for k = 0, else +-2^(|k| - n). For a
// given s the best Q are the nearest ones, so that |k| is the number of ascending thresholds that |w|
// reaches; for a given Q the best s has a closed form. T is float or double; everything is bitwise the same
// for any number of threads and any kernel table. Source: Yin, Zhang, Qi, Xin, "Quantization and training of
// low bit-width convolutional neural networks for object detection" (arXiv 1612.06052); the search over s is ours.
#include <cstdint>
#include <span>
#include <vector>

namespace coarsegrad {

/// The fewest bits.
inline constexpr int kLeastPowerBits = 2, kMostPowerBits = 7;  ///< the most bits

/// n: 1, 2, 4, 8, 16, 32 for 2 to 7 bits. Throws UsageError for other bits: with 8 the smallest size is
/// 2^-63, beyond any sum in 64 bits, and the error has stopped falling at 5.
int power_magnitudes(int bits);

/// The largest e with 2^e <= x, exactly; x is finite and positive.
int floor_log2(double x);

/// The integer s that minimises 4^s a - 2 2^s b, the error of codes with a = sum Q^2 and b = sum |Q w| less
/// |w|^2: floor(log2(4 b / (3 a))); 0 unless a and b are positive. Of two that are equally good it is the larger.
int best_power_scale(double a, double b);

/// mu 2^(2-n) / 3, then mu 2^(2-n), ..., mu / 2, mu: n thresholds, ascending, no one below the smallest
/// normal number. For mu = 3/4 2^s they are the midpoints between the values of 2^s Q; a midpoint goes up.
template <class T>
std::vector<T> power_thresholds(double mu, int magnitudes);

/// a and b of the codes that a group has taken; b is not finite if some weight is not.
struct PowerSums {
  double a;  ///< sum Q^2
  double b;  ///< sum |Q w|
};
/// Writes the codes that `thresholds` give, one for each magnitude.
template <class T>
PowerSums write_powers(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes);

/// Writes the codes that `thresholds` give and returns 2^s with the best s for them: 1 where all codes are 0, NaN if
/// some weight is not finite.
template <class T>
double encode_powers(std::span<const T> w, std::span<const T> thresholds, std::int8_t* codes);

/// The paper's projection: thresholds with mu = mu_over_max * max|w| and 3 bits or more, the exact minimum with 2.
/// Writes codes and returns 2^s, as encode_powers().
template <class T>
double encode_powers_by_max(std::span<const T> w, int bits, double mu_over_max, std::int8_t* codes);

/// The minimum over all s and Q; of several the one with the largest s. Writes codes and returns 2^s, as
/// encode_powers(). One pass over w more than encode_powers_by_max().
template <class T>
double encode_powers_exactly(std::span<const T> w, int bits, std::int8_t* codes);

/// The Q that a code stands for: 0, or +-2^(|code| - magnitudes).
double power_value(int code, int magnitudes);

}  // namespace coarsegrad
