#pragma once
// Exponential moving average of a network's weights, which often judges better than the weights themselves
// (Polyak and Juditsky 1992; with the warm-up of Tarvainen and Valpola, arXiv 1703.01780).
#include <cstdint>

#include "quant/weights/weight_rule.h"

namespace coarsegrad::experiments {

class WeightAverage {
 public:
  /// Starts from the present state of the network and its rule, if there is one (state_of()). decay in
  /// [0, 1): 0 keeps no average. Both must outlive this object.
  WeightAverage(nn::Module& net, double decay, quant::WeightRule* rule = nullptr);

  bool on() const { return decay_ > 0; }
  /// average += (1 - d)(state - average) with d = min(decay, (1 + step) / (10 + step)), for float copies and
  /// buffers alike.
  void update(std::int64_t step);

  /// The averages, as state_of() lists what they are of; empty when off.
  const nn::StateDict& values() const { return average_; }
  /// The same, for a checkpoint.
  State state() const { return {average_, {}, {}, {}}; }
  /// Throws Error unless names and shapes are those of that state (none when off).
  void load_state(const State& state);

 private:
  std::vector<const Tensor*> live_;  // in the order of the state dict
  nn::StateDict average_;
  double decay_;
};

}  // namespace coarsegrad::experiments
