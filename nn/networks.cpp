#include "nn/networks.h"

#include "nn/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

MakeActivation relu_activation() {
  return [](const std::string&) { return std::make_unique<ReLU>(); };
}

std::unique_ptr<Module> lenet5(const MakeActivation& activation, const Rng& rng, std::int64_t classes) {
  const BatchNormOptions plain{.affine = false};
  auto net = std::make_unique<Sequential>();
  net->add<Conv2d>("conv1", ConvOptions{.in = 1, .out = 32, .kernel = 5}, rng.split("conv1"));
  net->add<MaxPool2d>("pool1");
  net->add<BatchNorm>("norm1", 32, plain);
  net->append("act1", activation("act1"));
  net->add<Conv2d>("conv2", ConvOptions{.in = 32, .out = 64, .kernel = 5}, rng.split("conv2"));
  net->add<MaxPool2d>("pool2");
  net->add<BatchNorm>("norm2", 64, plain);
  net->append("act2", activation("act2"));
  net->add<Flatten>("flatten");
  net->add<Linear>("fc1", 4 * 4 * 64, 512, rng.split("fc1"));
  net->add<BatchNorm>("norm3", 512, plain);
  net->append("act3", activation("act3"));
  net->add<Linear>("fc2", 512, classes, rng.split("fc2"));
  return net;
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
