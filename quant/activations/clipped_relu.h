#pragma once
// A float activation that ends: where methods start from whose activations are bounded (DoReFa-Net, PACT), so that the
// float network's values are on their grid.
#include "core/base/options.h"
#include "nn/activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the float activation `clipped_relu`.
struct ClippedReluOptions {
  double end = 1;  ///< largest output
};
void describe(OptionVisitor& v, ClippedReluOptions& o);

/// min(max(x, 0), end); NaN stays NaN. Backward: 1 for 0 <= x <= end, else 0.
class ClippedRelu : public nn::Activation {
 public:
  /// The least end.
  static constexpr double kLeastEnd = 1e-3, kMostEnd = 1e4;  ///< the greatest end

  /// Throws Error for an end out of range.
  explicit ClippedRelu(const ClippedReluOptions& options);
  Var forward(const Var& x) override;

 private:
  const Real end_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
