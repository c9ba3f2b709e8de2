#pragma once
// What the training mains share: evaluation, one epoch of training, networks on disk.
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "datasets/loader.h"
#include "nn/module.h"
#include "optim/optimizer.h"

namespace coarsegrad::experiments {

struct Evaluation {
  double loss = 0;      ///< mean cross entropy
  double accuracy = 0;  ///< share of images whose largest logit is that of their label, 0 to 1
};

/// Of a whole data set, in evaluation mode; the network's mode is restored. Polls stop requests.
Evaluation evaluate(nn::Module& net, const datasets::Dataset& data);

struct EpochOptions {
  double label_smoothing = 0;
  /// Called before each step with its number since the start of the training; sets the learning rate, for
  /// example.
  std::function<void(std::int64_t step)> before_step = {};
  /// Called after each step with its number and its loss.
  std::function<void(std::int64_t step, double loss)> after_step = {};
};

/// One pass over the loader's epoch `epoch` in training mode; returns the mean loss of its batches.
/// Throws Diverged, before any weight moves, when a loss is not finite; Interrupted when a stop was
/// requested.
double train_epoch(nn::Module& net, optim::Optimizer& optimizer, datasets::DataLoader& loader,
                   std::int64_t epoch, const EpochOptions& options = {});

/// Throws Diverged, naming the parameter, when a gradient is not finite.
void check_gradients(nn::Module& net);

/// The state dict of a network as a tensor file (experiments/support/tensor_file.h), float whatever Real is.
void save_network(const std::filesystem::path& path, nn::Module& net,
                  const std::map<std::string, std::string>& metadata);
/// Fills the network and returns the metadata. Throws Error when file and network do not fit.
std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net);

}  // namespace coarsegrad::experiments
