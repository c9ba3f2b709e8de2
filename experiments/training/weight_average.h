#pragma once
// WeightAverage: the moving average of a network's weights.
#include <cstdint>

#include "quant/weights/weight_rule.h"

namespace coarsegrad::experiments {

/// Exponential moving average of a network's weights, which is often more accurate than the weights themselves.
/// Sources: Polyak and Juditsky 1992; the warm-up: Tarvainen and Valpola, arXiv 1703.01780.
class WeightAverage {
 public:
  /// Starts from the present state of the network and its weight rule, if there is one (state_of()). Both must outlive
  /// this object. Throws Error unless `decay` is in [0, 1); 0 keeps no average.
  WeightAverage(nn::Module& net, double decay, quant::WeightRule* rule = nullptr);

  /// Whether an average is kept.
  bool on() const { return decay_ > 0; }
  /// Sets average += (1 - d)(state - average) with d = min(decay, (1 + step) / (10 + step)), for float copies and
  /// buffers alike; `step` counts from 0.
  void update(std::int64_t step);

  /// The averages in the order of state_of(); empty when none are kept.
  const nn::StateDict& values() const { return average_; }
  /// values() as the state of this part in a checkpoint.
  State state() const { return {average_, {}, {}, {}}; }
  /// Takes the averages back. Throws Error unless names and shapes are those of state().
  void load_state(const State& state);

 private:
  std::vector<const Tensor*> live_;  // in the order of the state dict
  nn::StateDict average_;
  double decay_;
};

}  // namespace coarsegrad::experiments
