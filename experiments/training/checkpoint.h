#pragma once
// Checkpoint: where a training stands between two steps, in one file. Reading is strict and treats the file
// as hostile; a file under its final name is whole (experiments/support/tensor_file.h).
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "experiments/training/json_values.h"
#include "experiments/training/network_state.h"
#include "nn/module.h"
#include "optim/optimizer.h"

namespace coarsegrad::experiments {

/// Batch order, augmentation and learning rate are functions of `step` and the configuration, projected
/// weights of the float copies, so nothing else is kept of them; resolutions that are trained are parameters.
struct Checkpoint {
  std::string config = "{}";  ///< everything that the results depend on: a JSON object
  std::string commit;         ///< of the program that wrote it
  std::int64_t step = 0;      ///< steps taken; epoch and batch follow from it
  double loss_sum = 0;        ///< of the steps of the epoch that has begun
  double window_sum = 0;      ///< of the steps after the last point of the curve
  Rows loss_curve;            ///< Trainer::loss_curve()
  Rows notes;                 ///< Trainer::note()
  double seconds = 0;         ///< spent on the training so far, breaks left out
  Rows rows;                  ///< results of each finished epoch
  Rows earlier;               ///< those of stages before this training
  std::int64_t best = -1;     ///< the best of them; -1: none
  std::string log;            ///< where the log stood, in its own words

  nn::StateDict network;       ///< float copies, buffers, what the weight rule trains and remembers
  nn::StateDict average;       ///< moving average of it; empty: none
  nn::StateDict partner;       ///< the float network that learns beside it; empty: none
  nn::StateDict best_network;  ///< as it was judged after the best epoch; empty: none
  optim::OptimizerState optimizer;
  std::vector<GeneratorState> generators;
};

/// What identifies a training in its files: the SHA-256 of a configuration.
std::string config_digest(const std::string& config);

/// Replaces the file as a whole. Throws Error when it cannot be written; what was there stays then.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Comes back bit for bit. Throws Error "checkpoint PATH: ..." for a file that is damaged, no checkpoint, or
/// of a version that this program does not know; the file is left as it is.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace coarsegrad::experiments
