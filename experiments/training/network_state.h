#pragma once
// The whole state of a network in training: values, buffers, what its weight rule trains and remembers, and
// where its random streams stand. A rule may be null everywhere.
#include <cstdint>
#include <string>
#include <vector>

#include "quant/weights/weight_rule.h"

namespace coarsegrad::experiments {

/// Float copies and buffers of the network, then the entries of the rule.
nn::StateDict state_of(nn::Module& net, quant::WeightRule* rule);
/// Throws Error on a missing, unknown or misshapen entry.
void load_state(nn::Module& net, quant::WeightRule* rule, const nn::StateDict& state);

/// What a random stream is made of (core/compute/random.h).
struct GeneratorState {
  std::string name;
  std::uint64_t key = 0, position = 0;
};
std::vector<GeneratorState> generators_of(nn::Module& net);
/// Throws Error unless the streams are those of the network; nothing is changed then.
void load_generators(nn::Module& net, const std::vector<GeneratorState>& states);

/// Gives a network back what a forward pass in training mode, or a change of weights, takes from it.
class NetworkScope {
 public:
  explicit NetworkScope(nn::Module& net, quant::WeightRule* rule = nullptr)
      : net_(net), rule_(rule), state_(state_of(net, rule)), generators_(generators_of(net)) {}
  ~NetworkScope() { give_back(); }  // NOLINT(bugprone-exception-escape): the state is the network's own
  /// Already now.
  void give_back() {
    load_state(net_, rule_, state_);
    load_generators(net_, generators_);
  }
  NetworkScope(const NetworkScope&) = delete;
  NetworkScope& operator=(const NetworkScope&) = delete;

 private:
  nn::Module& net_;
  quant::WeightRule* rule_;
  nn::StateDict state_;
  std::vector<GeneratorState> generators_;
};

}  // namespace coarsegrad::experiments
