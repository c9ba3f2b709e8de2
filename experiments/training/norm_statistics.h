#pragma once
// Running statistics of batch normalisation, estimated anew: what a training leaves there belongs to a mixture of past
// weights, which matters most when the weights jump (quantized ones) or are averaged.
#include <cstdint>
#include <functional>

#include "datasets/loader.h"
#include "nn/module.h"

namespace coarsegrad::experiments {

/// Sets every running statistic of the network (nn::Module::running_statistics()) to its mean over `batches` >= 1
/// training batches: the loader's first ones of `epoch`. Everything else is in evaluation mode and stays as it is, so
/// that the statistics are those of the network that is judged: no dropout, and quantizers that are smooth in training
/// are hard. `forward` runs the network on a batch. The loader goes on where it stood. Polls stop requests; throws
/// Error for fewer than one batch.
void estimate_norm_statistics(nn::Module& net, const std::function<void(const datasets::Batch&)>& forward,
                              datasets::DataLoader& loader, std::int64_t epoch, std::int64_t batches);

}  // namespace coarsegrad::experiments
