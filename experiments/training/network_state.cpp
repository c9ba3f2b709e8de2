#include "experiments/training/network_state.h"

#include "core/base/check.h"

namespace coarsegrad::experiments {

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
    check(name == states[i].name && rng->key() == states[i].key, "given the random stream '", states[i].name,
          "', expected '", name, "' with key ", rng->key());
  }
  for (std::size_t i = 0; i < own.size(); ++i) own[i].second->set_position(states[i].position);
}

}  // namespace coarsegrad::experiments
