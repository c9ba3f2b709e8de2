#include "experiments/training/weight_average.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/map.h"
#include "experiments/training/network_state.h"

namespace coarsegrad::experiments {

WeightAverage::WeightAverage(nn::Module& net, double decay, quant::WeightRule* rule) : decay_(decay) {
  check(decay >= 0 && decay < 1, "weight average: given a decay of ", decay, ", expected 0 <= decay < 1");
  if (!on()) return;
  const auto add = [this](nn::Module& module) {
    for (const auto& [name, parameter] : module.named_parameters()) live_.push_back(&parameter->value);
    for (const auto& [name, buffer] : module.named_buffers()) live_.push_back(buffer);
  };
  add(net);
  if (rule)
    for (const auto& entry : rule->weights()) add(*entry.projection);
  average_ = state_of(net, rule);
}

void WeightAverage::update(std::int64_t step) {
  const double t = static_cast<double>(step);
  const Real share = static_cast<Real>(1 - std::min(decay_, (1 + t) / (10 + t)));
  for (std::size_t i = 0; i < live_.size(); ++i) {
    const Real* now = live_[i]->data();
    Real* average = average_[i].second.mutable_data();
    parallel_ranges(live_[i]->numel(), kTaskElements, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) average[k] += share * (now[k] - average[k]);
    });
  }
}

void WeightAverage::load_state(const State& given) {
  given.expect_shapes_of(state());
  average_ = given.tensors;
}

}  // namespace coarsegrad::experiments
