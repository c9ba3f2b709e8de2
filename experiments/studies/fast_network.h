#pragma once
// The network of fast_cifar10: eight layers that learn 32 x 32 images in few passes over them.
#include <cstdint>
#include <memory>

#include "core/compute/random.h"
#include "datasets/dataset.h"
#include "nn/module.h"
#include "nn/networks.h"

namespace coarsegrad::experiments {

/// Settings of fast_network().
struct FastNetworkOptions {
  std::int64_t classes = 10,     ///< outputs
      first = 64,                ///< channels of the first block
      later = 256;               ///< of the second and the third block, at least `first`
  double shift_rate = 64;        ///< multiplies the learning rate of the shifts of normalisations, whose scales stay 1
  double output_scale = 1. / 9;  ///< of the logits
};

/// conv 2x2 (24 channels) A, then three blocks, conv 3x3 M norm A conv 3x3 norm A, the last one with M in front of
/// its end; dense without bias. M takes the maximum of 2 x 2 pixels, at the end of 3 x 3; A is the activation; the first
/// convolution has no padding, the others keep the size. Each 3x3 convolution begins as the identity on as many channels as
/// come in, with random filters beside. (N, 32, 32, 3) -> (N, classes); in evaluation mode the mean of the logits of the
/// image, its mirror image, and both moved by a pixel up and left and down and right. After Jordan (arXiv 2404.00498).
std::unique_ptr<nn::Module> fast_network(const nn::MakeActivation& activation, const Rng& rng,
                                         const FastNetworkOptions& options = {});

/// Makes the filters of the first convolution of a fast_network() those that whiten patches of 2 x 2 pixels: the principal
/// directions of the first `images` images, each over its deviation, and the negatives of these. They are not trained.
void whiten_first_layer(nn::Module& net, const datasets::Dataset& data, std::int64_t images = 5000);

}  // namespace coarsegrad::experiments
