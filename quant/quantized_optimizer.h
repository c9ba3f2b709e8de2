#pragma once
// QuantizedOptimizer. A loop with it is that of a float training:
//   quant::QuantizedOptimizer optimizer(sgd, *net, {.weights = &rule}, {loader.batches_per_epoch(), epochs});
//   for (...) {
//     optimizer.lr = rate(step);
//     optimizer.zero_grad();                          // makes the weights that the network computes with
//     cross_entropy((*net)(batch.images), batch.labels).backward();
//     optimizer.step();                               // moves the float copies
//   }
// No call can be left out: weights under a weight rule have no elements before zero_grad() nor after step(), and an
// optimizer that lacks one of them, or what their projections train, is refused.
#include <cstdint>
#include <vector>

#include "nn/module.h"
#include "optim/optimizer.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/schedule.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// What is quantized besides the activations, which are modules of the network.
struct QuantizedParts {
  WeightRule* weights = nullptr;      ///< null: float weights
  GradientRule* gradients = nullptr;  ///< null: float gradients
};

/// How long a training is, which its schedules depend on (quant/schedule.h). They stand still after it.
struct TrainingLength {
  std::int64_t steps_per_epoch;  ///< batches of an epoch, >= 1
  std::int64_t epochs;           ///< >= 1, of the whole training, whatever a break in it
};

/// An optimizer around an optimizer, by which a network is trained with quantized weights, quantized gradients,
/// activations that move along a schedule, or none of these.
class QuantizedOptimizer : public optim::Optimizer {
 public:
  /// Optimizer, network and parts must outlive this object. Throws Error for a length out of range, and unless `inner`
  /// moves the weights of the weight rule and what its projections train.
  QuantizedOptimizer(optim::Optimizer& inner, nn::Module& net, const QuantizedParts& parts,
                     const TrainingLength& length);

  std::vector<Parameter*> parameters() const override { return inner_.parameters(); }
  /// Begins a step: clears gradients, brings the schedules of the relaxation and of the network to where the training
  /// stands, makes the weights, and tells the gradient rule the step. Forward and backward passes come after it, as
  /// many as belong to one step.
  void zero_grad() override;
  /// Turns the gradients at the weights that the network computed with into those of the float copies and of what the
  /// projections train: whoever looks at gradients before the step, to clip them or to ask whether they are finite,
  /// calls it after backward(). step() does it otherwise.
  void collect_gradients();
  /// The relaxation pulls the float copies, the optimizer moves them, and the relaxation acts on them once more.
  /// Throws Error, and nothing moves, without zero_grad() since the step before, and as the optimizer does.
  void step() override;
  /// Throws what step() would refuse, and moves nothing.
  void check_step() override;

  /// The state of the inner optimizer, and `schedule.step`, the number of steps taken.
  State state() const override;
  void load_state(const State& state) override;

  /// Steps since the beginning of the training, those before a load_state() included.
  std::int64_t steps_taken() const { return steps_; }
  /// Null: float weights.
  WeightRule* weights() const { return parts_.weights; }

 private:
  void advance(std::int64_t step);

  optim::Optimizer& inner_;
  nn::Module& net_;
  const QuantizedParts parts_;
  const TrainingLength length_;
  std::int64_t steps_ = 0;
  bool collected_ = false;  // gradients, since zero_grad()
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
