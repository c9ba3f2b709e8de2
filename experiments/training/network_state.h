#pragma once
// The values of a network in training as one list, as a file of the network has them: those of the network itself, and
// what its weight rule, which may be null everywhere, trains and remembers.
#include "quant/weights/weight_rule.h"

namespace coarsegrad::experiments {

/// Float copies and buffers of the network, then the entries of the weight rule.
nn::StateDict state_of(nn::Module& net, quant::WeightRule* rule);
/// Gives network and weight rule the values of state_of(). Throws Error for a missing, unknown or misshapen entry.
void load_state(nn::Module& net, quant::WeightRule* rule, const nn::StateDict& state);

/// Gives a network back what a forward pass in training mode, or a change of weights, takes from it: values, what the
/// projections remember, where the random streams stand. Not copied: the state is given back once.
class NetworkScope {
 public:
  /// Takes the state that the destructor gives back; network and weight rule must outlive the scope.
  explicit NetworkScope(nn::Module& net, quant::WeightRule* rule = nullptr)
      : net_(net), rule_(rule), of_net_(net.state()), of_rule_(rule ? rule->state() : State()) {}
  ~NetworkScope() {  // NOLINT(bugprone-exception-escape): the state is the network's own
    net_.load_state(of_net_);
    if (rule_) rule_->load_state(of_rule_);
  }
  NetworkScope(const NetworkScope&) = delete;
  NetworkScope& operator=(const NetworkScope&) = delete;

 private:
  nn::Module& net_;
  quant::WeightRule* rule_;
  const State of_net_, of_rule_;
};

}  // namespace coarsegrad::experiments
