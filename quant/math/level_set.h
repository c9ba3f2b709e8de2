#pragma once
// Fixed levels, symmetric about 0, that weights and activations of 1 to 3 bits share: {-1, 1}, {-1, 0, 1},
// {0, +-1/2, +-1}, {0, +-1/4, +-1/2, +-1}. Multiplications by them are signs, masks and shifts
// (quant/math/bit_products.h). Source: Chen, Liu, Zhang, Hou, Yang, "Propagating asymptotic-estimated gradients for
// low bitwidth quantized neural networks" (IEEE J. Sel. Top. Signal Process. 2020, arXiv 2003.04296), equations 4, 21
// and 22, which have all of these sets but {0, +-1/2, +-1}. The thresholds are ours: the paper leaves their values
// open, and there a weight on a threshold takes the smaller level and sign(0) is -1.
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coarsegrad {

/// Ascending levels q_0 < ... < q_m with the midpoints t_1 < ... < t_m between them as thresholds.
class LevelSet {
 public:
  /// Throws Error unless there are two levels or more, finite and ascending.
  explicit LevelSet(std::vector<double> levels);

  /// q_0, ..., q_m.
  std::span<const double> levels() const { return levels_; }
  /// t_1, ..., t_m.
  std::span<const double> thresholds() const { return thresholds_; }
  /// q_0.
  double lowest() const { return levels_.front(); }
  /// q_m.
  double highest() const { return levels_.back(); }
  /// The thresholds from 0 on, times `scale`. Where the levels are symmetric about 0, what a size |x| must
  /// reach to have a code of 1, 2, ... with the sign of x (quant/math/power_of_two.h). T is float or double.
  template <class T>
  std::vector<T> thresholds_of_size(double scale) const;
  /// The least and the greatest distance of neighbouring levels.
  double least_step() const;
  double greatest_step() const;

  /// Index of the nearest level. A midpoint goes away from 0, 0 itself up; NaN goes to the lowest level.
  int index_of(double x) const;
  /// The nearest level: the quantizer q(x).
  double nearest(double x) const { return levels_[static_cast<std::size_t>(index_of(x))]; }

 private:
  std::vector<double> levels_, thresholds_;
};

/// How many powers of two the levels with 3 bits have: 2 for {0, +-1/2, +-1}, 3 with +-1/4 as well.
enum class ThreeBits { two_powers = 2, three_powers = 3 };
/// n, the largest size of a code of the set with these bits: 1 for 1 and 2 bits.
int level_magnitudes(int bits, ThreeBits three_bits);
/// The set of 1, 2 or 3 bits. Throws UsageError for other bits.
LevelSet level_set(int bits, ThreeBits three_bits = ThreeBits::two_powers);

/// Where the levels q_i of a group of weights w and their thresholds t_i lie.
enum class LevelScale {
  fitted,  ///< at m q_i and m t_i: Lloyd's alternation makes |w - m q|^2 small for the weights that a
           ///< training starts from, and m stays. Weights of trained networks do not reach 1/2.
  unit,    ///< at q_i and t_i
  mean     ///< at alpha q_i and t_i, alpha = sum |w q| / sum q^2: the mean of |w| where q is +-1
};
/// The scale of levels named "fitted", "unit" or "mean". Throws UsageError for another name.
LevelScale level_scale(std::string_view name);
/// "fitted", "unit", "mean".
std::vector<std::string> level_scale_names();
/// The name that level_scale() takes.
std::string name_of(LevelScale scale);

}  // namespace coarsegrad
