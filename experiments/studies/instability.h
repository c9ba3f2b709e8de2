#pragma once
// Does a straight-through estimator stay at the minimum that another one has found? From one network each estimator
// goes on at a tiny rate. The control, the estimator that has found the minimum at a rate at which its steps are as
// long as the identity's, tells a direction that leads away from steps that are merely long. After Yin, Lyu, Zhang,
// Osher, Qi, Xin, ICLR 2019 (arXiv 1903.05662), figures 2 and 4.
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/training/comparison.h"

namespace coarsegrad::experiments {

/// Activations on a uniform grid with this estimator, weights float.
quant::Method quantized(const std::string& ste, int bits);
/// "relu-4bit": what trainings with quantized() are called.
std::string variant_name(const std::string& ste, int bits);

/// Lengths of a network's coarse gradients.
struct GradientLengths {
  double whole = 0;                 ///< over all parameters
  std::vector<double> layers = {};  ///< over the weights of each layer, in the order of layer_names()
};
/// The mean lengths over the first `batches` batches of the training `plan`, none of which moves a weight. `make` gives
/// the network where it starts.
GradientLengths gradient_lengths(const CellPlan& plan, const SplitData& data, const quant::MakeNetwork& make,
                                 int batches);

/// How the trainings go on.
struct InstabilitySettings {
  int epochs = 0;                     ///< 0: no such trainings
  std::string from = "clipped_relu";  ///< the estimator that has found the minima
  std::vector<std::string> nets =
      {};                ///< files of the networks there, one for each of the bits; empty: the comparison's
  double lr = 1e-5;      ///< learning rate, constant
  int seeds = 1,         ///< runs of each estimator: seeds 1 to this
      loss_window = 25,  ///< steps that a point of the loss curve is the mean of
      batches = 50;      ///< that the lengths of the gradients are the means over
};
/// Adds the flags --instability, --instability-from, --instability-nets, --instability-lr, --instability-seeds,
/// --instability-batches and --loss-window.
void declare(Args& args, InstabilitySettings& s);
/// Throws UsageError unless there is none or one network for each of the bits, and a file that says what its activations
/// are says those of InstabilitySettings::from at these bits.
void check_nets(const InstabilitySettings& s, const std::vector<int>& bits);

/// What goes on from where.
struct InstabilityPlan {
  std::vector<int> bits = {};                      ///< of the activations
  std::vector<std::filesystem::path> starts = {};  ///< file of the network at the minimum, for each of the bits
  CellPlan training = {};                          ///< network, images and optimizer; the rest differs in each training
  std::uint64_t seed = 1;                          ///< of what is in no network's file

  /// Makes the network at the minimum of bits[k].
  quant::MakeNetwork network(std::size_t k, const SplitData& data) const;
};

/// The trainings that go on, and their tables `instability` and `instability_lengths`.
class Instability {
 public:
  /// Declares the tables. `layers` are the layer_names() of the network; `s` must outlive this object. Throws
  /// UsageError unless InstabilitySettings::from is one of `ste`.
  Instability(RunLog& log, const InstabilitySettings& s, const std::vector<std::string>& ste,
              std::vector<std::string> layers);

  /// Trains each estimator, and the control where the identity is among them, at all bits with all seeds, as cells of
  /// the sweep. Returns a table for the terminal.
  std::string run(const InstabilityPlan& plan, const SplitData& data, const Sweep& sweep, bool quiet) const;

 private:
  struct Continued {  // one of the estimators, or the control
    std::size_t label;
    std::string ste;
    double lr;
  };
  std::vector<Continued> continued(const InstabilityPlan& plan, std::size_t k, const SplitData& data,
                                   const Sweep& sweep) const;
  double length_ratio(const InstabilityPlan& plan, std::size_t k, const SplitData& data, const Sweep& sweep) const;
  CellRows start(const InstabilityPlan& plan, std::size_t k, const SplitData& data, const Sweep& sweep) const;
  CellRows train(const InstabilityPlan& plan, std::size_t k, const Continued& c, int seed, const SplitData& data,
                 const Sweep& sweep, bool quiet) const;

  const InstabilitySettings& s_;
  const std::vector<std::string> labels_;
  const Table table_, lengths_;
};

}  // namespace coarsegrad::experiments
