#pragma once
// LeNet-5 in training on made-up images, the way an experiment does it: loader, step, optimizer.
#include <memory>
#include <string>
#include <vector>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/uniform.h"

namespace coarsegrad::tests {

class LenetTraining {
 public:
  /// bits 0: ReLU, else activations of so many bits with the clipped ReLU's derivative.
  LenetTraining(int bits, std::int64_t images, std::int64_t batch)
      : data_(datasets::gaussian_classes(images, {28, 28, 1}, 10, 1, 7)),
        loader_(data_, {.batch_size = batch, .seed = 3}),
        net_(nn::lenet5(bits ? quant::uniform_activation(bits, surrogate("clipped_relu")) : nn::relu_activation(),
                        Rng(5))),
        optimizer_(net_->parameters(), {.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-4}) {}

  /// Takes the next batch; returns its loss.
  Real step() {
    const datasets::Batch& batch = loader_.next();
    const Var loss = cross_entropy((*net_)(batch["image"]), batch["label"]);
    optimizer_.zero_grad();
    loss.backward();
    optimizer_.step();
    return loss.item();
  }

  nn::Module& net() { return *net_; }

 private:
  datasets::ImageDataset data_;
  datasets::DataLoader loader_;
  std::unique_ptr<nn::Module> net_;
  optim::Sgd optimizer_;
};

}  // namespace coarsegrad::tests
