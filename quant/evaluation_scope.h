#pragma once
// EvaluationScope: a network as it is deployed, in the middle of a training.
//   {
//     const quant::EvaluationScope scope(*net, &rule);
//     accuracy = evaluate(*net, test);
//   }
#include <utility>
#include <vector>

#include "core/matrix_product.h"
#include "nn/module.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// For as long as it lives, weights are the projections of the float copies, and the network is in evaluation mode. At
/// its end the weights that the network computes with, what the projections remember and the mode are what they were,
/// so that a scope may stand anywhere in a training. Its thread multiplies as a deployed network does
/// (DeployedProducts). (Float copies, running statistics and random streams are the network's own: whoever changes them
/// within the scope brings them back.)
class EvaluationScope {
 public:
  /// Both must outlive the scope; null: float weights. A network under a weight rule cannot be evaluated without it.
  explicit EvaluationScope(nn::Module& net, WeightRule* rule = nullptr);
  /// Brings back what was there before.
  ~EvaluationScope();
  /// Not copied: what was there before is brought back once.
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  const DeployedProducts products_;
  std::vector<std::pair<nn::Module*, bool>> training_;  // of each module: some may have been in evaluation mode before
  WeightRule* rule_;
  WeightRule::Made made_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
