#pragma once
// A training on random images whose steps are timed.
#include <memory>
#include <string>

#include "core/autocast.h"
#include "experiments/support/args.h"
#include "nn/module.h"
#include "optim/sgd.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/quantized_optimizer.h"

namespace coarsegrad::experiments {

/// What is trained, and on which kernels.
struct TimedTrainingSettings {
  std::string net = "lenet5",  ///< one of nn::network_names()
      weights = "float",       ///< bits, or float
      projection = "bcgd",     ///< of quantized weights: bcgd, of the inner layers, blended, or a projection's name
      activations = "float",   ///< bits, or float
      activation = "uniform",  ///< of quantized activations
      kernels = "auto",        ///< kernel table
      compute = "float32";     ///< as in OptimSettings
  Part gradients = {"none"};   ///< of quant::gradient_rules()
  int batch = 128,             ///< images per step
      steps = 10;              ///< timed steps
};
/// Adds the flags --net, --batch, --steps, --weights, --projection, --activations, --activation, --gradients,
/// --kernels and --compute.
void declare(Args& args, TimedTrainingSettings& s);

/// Seconds of a training step, and of its parts.
struct StepTime {
  double step,    ///< all of it
      before,     ///< before the forward pass: gradients of the last step are let go, weights are projected
      forward,    ///< forward pass, the loss included
      backward,   ///< backward pass
      optimizer;  ///< behind it: gradients are checked, parameters moved
};

/// A network, an optimizer and a batch of normal numbers with random labels.
class TimedTraining {
 public:
  /// Makes the kernel table of the settings the active one. Throws UsageError for settings that do not go together.
  TimedTraining(const TimedTrainingSettings& s, std::uint64_t seed);

  /// One step. Throws Diverged where the loss is not finite.
  StepTime step();
  /// Operations of a step, in units of 1e9: a multiplication and an addition for each of the three products of a layer,
  /// but for the first layer's gradient of the images, which nobody needs.
  double gflop() const;

 private:
  std::unique_ptr<nn::Module> net_;
  std::unique_ptr<quant::WeightRule> weights_;      // null: float weights
  std::unique_ptr<quant::GradientRule> gradients_;  // null: float gradients
  std::unique_ptr<optim::Sgd> sgd_;
  std::unique_ptr<quant::QuantizedOptimizer> optimizer_;
  Tensor images_, labels_;
  ComputeType compute_;
};

}  // namespace coarsegrad::experiments
