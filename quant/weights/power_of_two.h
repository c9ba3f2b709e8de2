#pragma once
// Weights that are zero or powers of two (LBW-Net: Yin, Zhang, Qi, Xin, "Quantization and training of low
// bit-width convolutional neural networks for object detection", arXiv 1612.06052;
// quant/math/power_of_two.h).
#include <memory>

#include "quant/weights/power_coded.h"
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Onto a scale times powers of two: what project() returns has power_codes() (quant/weights/power_coded.h).
class PowerProjection : public CodedProjection {
 public:
  PowerProjection(std::string name, const ProjectionOptions& options, int magnitudes)
      : CodedProjection(std::move(name), options), magnitudes_(magnitudes) {}
  Tensor project(const Tensor& w) override;

 private:
  int magnitudes_;
};

/// 2 to 7 bits. power_of_two is the paper's rule with options.mu_over_max, power_of_two_exact the nearest
/// point. Throw UsageError for other bits and for a mu_over_max that is not positive.
std::unique_ptr<WeightProjection> power_of_two(const ProjectionOptions& options);
std::unique_ptr<WeightProjection> power_of_two_exact(const ProjectionOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
