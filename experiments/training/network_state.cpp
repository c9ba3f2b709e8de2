#include "experiments/training/network_state.h"

#include <set>

namespace coarsegrad::experiments {

nn::StateDict state_of(nn::Module& net, quant::WeightRule* rule) {
  nn::StateDict state = net.state_dict();
  if (rule)
    for (auto& entry : rule->state_dict()) state.push_back(std::move(entry));
  return state;
}

void load_state(nn::Module& net, quant::WeightRule* rule, const nn::StateDict& state) {
  std::set<std::string> names;
  if (rule)
    for (const auto& [name, value] : rule->state_dict()) names.insert(name);
  nn::StateDict of_net, of_rule;
  for (const auto& entry : state) (names.contains(entry.first) ? of_rule : of_net).push_back(entry);
  net.load_state_dict(of_net);
  if (rule) rule->load_state_dict(of_rule);
}

}  // namespace coarsegrad::experiments
