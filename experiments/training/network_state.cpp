#include "experiments/training/network_state.h"

#include <set>

#include "core/base/check.h"
#include "core/base/short_text.h"

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

std::vector<GeneratorState> generators_of(nn::Module& net) {
  std::vector<GeneratorState> all;
  for (const auto& [name, rng] : net.named_generators()) all.push_back({name, rng->key(), rng->position()});
  return all;
}

void load_generators(nn::Module& net, const std::vector<GeneratorState>& states) {
  const auto own = net.named_generators();
  check(own.size() == states.size(), "given ", states.size(), " random streams, expected ", own.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    const auto& [name, rng] = own[i];
    check(name == states[i].name && rng->key() == states[i].key, "given the random stream ",
          in_quotes(states[i].name), ", expected '", name, "' with key ", rng->key());
  }
  for (std::size_t i = 0; i < own.size(); ++i) own[i].second->set_position(states[i].position);
}

}  // namespace coarsegrad::experiments
