#pragma once
// Weights on fixed levels of 1 to 3 bits (quant/math/level_set.h): what the AQE-style relaxation ends in.
#include <span>

#include "quant/math/level_set.h"
#include "quant/methods/power_projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// "fixed_levels": the nearest level. Throws UsageError unless bits is 1 to 3. A reconstruction, as the level
/// sets are.
class FixedLevels : public PowerProjection {
 public:
  explicit FixedLevels(const ProjectionOptions& options);

  void begin(const Tensor& w) override;
  Tensor project(const Tensor& w) override;

  const LevelSet& levels() const { return levels_; }
  LevelScale scale() const { return scale_; }
  /// m of each group of w; 1 but for LevelScale::fitted.
  std::span<const Real> reach(const Tensor& w);

 private:
  double encode(std::span<const Real> w, std::int64_t group, std::int8_t* codes) override;
  double fitted_reach(std::span<const Real> w, std::int8_t* codes) const;

  const LevelSet levels_;
  const LevelScale scale_;
  Tensor& reach_;  // a buffer: (groups)
};

std::unique_ptr<WeightProjection> fixed_levels(const ProjectionOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
