#pragma once
// The whole state of a network in training: values, buffers, and where its random streams stand.
#include <cstdint>
#include <string>
#include <vector>

#include "nn/module.h"

namespace coarsegrad::experiments {

/// What a random stream is made of (core/base/random.h).
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
  explicit NetworkScope(nn::Module& net)
      : net_(net), state_(net.state_dict()), generators_(generators_of(net)) {}
  ~NetworkScope() {
    net_.load_state_dict(state_);
    load_generators(net_, generators_);
  }
  NetworkScope(const NetworkScope&) = delete;
  NetworkScope& operator=(const NetworkScope&) = delete;

 private:
  nn::Module& net_;
  nn::StateDict state_;
  std::vector<GeneratorState> generators_;
};

}  // namespace coarsegrad::experiments
