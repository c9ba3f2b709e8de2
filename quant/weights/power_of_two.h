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
  /// `magnitudes` is n, the number of powers of two. Throws UsageError for bits out of range.
  PowerProjection(std::string name, const WeightGrid& grid, int magnitudes)
      : CodedProjection(std::move(name), grid), magnitudes_(magnitudes) {}
  Tensor project(const Tensor& w) override;

 private:
  int magnitudes_;
};

/// Options of `power_of_two`.
struct PowerOfTwoOptions {
  int bits = 4;               ///< 2 to 7
  bool per_channel = false;   ///< a scale for each index of the first axis instead of one for the tensor
  double mu_over_max = 0.75;  ///< mu, the smallest weight that takes the largest power, over max|w|; above 0
};
void describe(OptionVisitor& v, PowerOfTwoOptions& o);
/// "power_of_two": onto the powers that the paper's thresholds give. Throws UsageError for options out of range.
std::unique_ptr<WeightProjection> power_of_two(const PowerOfTwoOptions& options);

/// Options of `power_of_two_exact`.
struct PowerOfTwoExactOptions {
  int bits = 4;              ///< 2 to 7
  bool per_channel = false;  ///< a scale for each index of the first axis instead of one for the tensor
};
void describe(OptionVisitor& v, PowerOfTwoExactOptions& o);
/// "power_of_two_exact": the nearest point. Throws UsageError for options out of range.
std::unique_ptr<WeightProjection> power_of_two_exact(const PowerOfTwoExactOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
