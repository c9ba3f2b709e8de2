#pragma once
// The hard quantizer h that weights and activations of few bits share: fixed levels, symmetric about 0, without a
// scale, whose sizes are powers of two. Multiplications by them are signs, masks and shifts
// (quant/math/bit_products.h).
//   1 bit:        -1, 1;  h(x) = 1 where x > 0, else -1, so that sign(0) = -1
//   n >= 2 bits:  0, +-2^-(q-1), ..., +-1/2, +-1 with q = 2^(n-1) - 1;  the size of h(x) is the k-th of 0, 2^-(q-1),
//                 ..., 1 where |x| lies beyond k of q thresholds; on a threshold it takes the smaller size
// Source: Chen, Liu, Zhang, Hou, Yang, "Propagating asymptotic-estimated gradients for low bitwidth quantized neural
// networks" (IEEE J. Sel. Top. Signal Process. 2020, arXiv 2003.04296), equations 4, 21 and 22. The paper leaves the
// values of the thresholds open: those of LevelThresholds are ours.
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/options.h"

namespace coarsegrad {

/// How many bits a level set may have.
inline constexpr int kMostLevelBits = 6;

/// q, the number of thresholds with these bits: 0, 1, 3, 7 for 1 to 4. Throws UsageError unless 1 <= bits <=
/// kMostLevelBits.
int level_thresholds(int bits);

/// Levels with their thresholds.
class LevelSet {
 public:
  /// `thresholds` has level_thresholds(bits) numbers, ascending, as floats normal and below 1. Throws UsageError
  /// otherwise.
  LevelSet(int bits, std::vector<double> thresholds);

  /// Bits of a packed code.
  int bits() const { return bits_; }
  /// Sizes above which the next larger level follows.
  std::span<const double> thresholds() const { return thresholds_; }
  /// The largest size of a code (quant/math/power_of_two.h): 1 with 1 bit, else the number of thresholds.
  int magnitudes() const { return bits_ == 1 ? 1 : static_cast<int>(thresholds_.size()); }
  /// What a code stands for: 0, or +-2^(|code| - magnitudes()).
  double level(int code) const;
  /// All levels, ascending: 2 with 1 bit, else 2^bits - 1.
  std::vector<double> levels() const;

  /// Writes the codes of h(x), and for NaN any. x is compared with the thresholds as rounded to T, which is float or
  /// double; a denormal x counts as 0. Returns whether there is a NaN. Bitwise the same for any number of threads and
  /// any kernel table.
  template <class T>
  bool encode(std::span<const T> x, std::int8_t* codes) const;

 private:
  int bits_;
  std::vector<double> thresholds_;
};

/// The thresholds of 2 and 3 bits as options: above so large a size stands the level of that name.
struct LevelThresholds {
  double ternary_above = 0.05;   ///< +-1 with 2 bits; the paper's figures 3 and 4 show about this value
  double quarter_above = 0.125,  ///< +-1/4 with 3 bits; these three are midpoints
      half_above = 0.375,        ///< +-1/2 with 3 bits
      one_above = 0.75;          ///< +-1 with 3 bits
};
void describe(OptionVisitor& v, LevelThresholds& t);

/// The set of 1, 2 or 3 bits. Throws UsageError for other bits and as LevelSet.
LevelSet level_set(int bits, const LevelThresholds& thresholds = {});

}  // namespace coarsegrad
