#pragma once
// The networks of the papers. Each takes the activation to use, so that quantized and float nets are one
// definition.
#include <memory>

#include "core/base/random.h"
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// A ReLU at every place.
MakeActivation relu_activation();

/// LeNet-5 for 28 x 28 x 1 images: 5x5 convolutions with 32 and 64 channels, dense 512 and `classes`. Before
/// each of the three activations stands a batch normalisation without scale and shift, so that its input is
/// close to N(0, 1); max pooling comes before the normalisation. Source: Yin, Lyu, Zhang, Osher, Qi, Xin,
/// ICLR 2019 (arXiv 1903.05662), section 4.
std::unique_ptr<Module> lenet5(const MakeActivation& activation, const Rng& rng, std::int64_t classes = 10);

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
