#pragma once
// Weights on fixed levels of 1 to 3 bits (quant/math/level_set.h).
#include <span>

#include "quant/math/level_set.h"
#include "quant/weights/power_of_two.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of `fixed_levels`.
struct FixedLevelsOptions {
  int bits = 2;                              ///< 1 to 3
  int sign_of_zero = 1;                      ///< with 1 bit: the code of 0, which is +1 or 0
  bool per_channel = false;                  ///< a scale for each index of the first axis instead of one for the tensor
  LevelScale scale = LevelScale::fitted;     ///< where levels and thresholds lie
  ThreeBits powers = ThreeBits::two_powers;  ///< with 3 bits: how many powers of two there are among the levels
};
void describe(OptionVisitor& v, FixedLevelsOptions& o);

/// "fixed_levels": the nearest level; with 1 bit options.sign_of_zero says which one 0 has. A fitted m comes from
/// the first weights of its group that are finite and not all 0. A group of zeros gives zeros; but with
/// LevelScale::unit, whose levels know nothing of the group, and 1 bit it gives what sign(0) is.
class FixedLevels : public PowerProjection {
 public:
  /// Throws UsageError unless bits is 1 to 3.
  explicit FixedLevels(const FixedLevelsOptions& options);

  void begin(const Tensor& w) override;
  Tensor project(const Tensor& w) override;

  /// The levels q_i before they are scaled.
  const LevelSet& levels() const { return levels_; }
  /// Where levels and thresholds lie.
  LevelScale scale() const { return scale_; }
  /// m of each group of w: with LevelScale::fitted what its first weights gave, otherwise, and before that, 1.
  std::vector<Real> reach(const Tensor& w);

 private:
  double encode(std::span<const Real> w, std::int64_t group, std::int8_t* codes) override;
  std::vector<Real> thresholds(double reach) const;
  void fit(const Tensor& w);
  double fitted_reach(std::span<const Real> w, std::int8_t* codes) const;

  const LevelSet levels_;
  const LevelScale scale_;
  const std::vector<Real> of_sign_;  // thresholds with 1 bit
  Tensor& reach_;                    // a buffer: (groups), 0 where no weights have given it yet
};

/// A FixedLevels; throws as its constructor.
std::unique_ptr<WeightProjection> fixed_levels(const FixedLevelsOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
