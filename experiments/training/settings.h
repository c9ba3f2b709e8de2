#pragma once
// The knobs of a training, in groups that a main takes as it needs them, and what is made of them. Those of a method:
// method_settings.h.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "experiments/support/args.h"
#include "experiments/training/training.h"
#include "nn/activation.h"
#include "optim/schedule.h"
#include "quant/assembly.h"

namespace coarsegrad::experiments {

struct DataSettings {
  std::string dataset = "cifar10", folder = "data", verify = "checksums", augmentation = "standard";
  int images = 0, held_out = 5000, cutout = 0;
  std::uint64_t seed = 0;  ///< of what is set aside, and of drawn images; 0: that of the run
};
void declare(Args& args, DataSettings& s);
/// The flag --verify, for datasets::verify().
void declare_verify(Args& args, std::string& verify);
/// What --dataset takes.
std::vector<std::string> dataset_names();
/// Loads or draws the images and sets the held-out ones aside, both by `run_seed` unless the settings have a
/// seed of their own. Throws UsageError when there are too few.
SplitData load_data(const DataSettings& s, std::uint64_t run_seed);
/// Cuts and mirrors as the papers do for CIFAR and what looks like it; leaves digits alone.
datasets::Augmentation augmentation_of(const DataSettings& s);

struct NetSettings {
  std::string net = "resnet20", shortcut = "subsample";
  bool affine = true;
  int width = 0;
};
void declare(Args& args, NetSettings& s);
/// Throws UsageError when the network does not take these images.
std::unique_ptr<nn::Module> make_net(const NetSettings& s, const nn::MakeActivation& activation,
                                     const datasets::Dataset& data, std::uint64_t seed);
/// The same with any activations, in the state of a network file if one is given. `data` must outlive it.
quant::MakeNetwork network_maker(const NetSettings& s, const datasets::Dataset& data, std::uint64_t seed,
                                 const std::filesystem::path& file = {});

struct OptimSettings {
  std::string optimizer = "sgd", schedule = "one_cycle";
  int epochs = 30, batch = 128;
  double lr = 0.2, momentum = 0.9, weight_decay = 5e-4, label_smoothing = 0;
  bool nesterov = false, decay_norms = false;
  double rise = 0.25, factor = 0.1, warmup_epochs = 0;
  std::vector<int> milestones{80, 140};
};
void declare(Args& args, OptimSettings& s);
/// What is said to who wants to train for no epoch.
inline constexpr const char* kJudgeOnly = "; `evaluate FILE` judges a network without training it";
/// Makes the optimizer of whatever parameters it is given.
quant::MakeOptimizer optimizer_maker(const OptimSettings& s);
/// What `decay_norms` wants of a network: weight decay of everything.
void apply_decay(const OptimSettings& s, nn::Module& net);
optim::Schedule make_schedule(const OptimSettings& s, std::int64_t steps_per_epoch);

/// What a run keeps of itself, and how often. Results do not depend on it.
struct KeepSettings {
  int save_steps = 0;
  double save_minutes = 5;
};
void declare(Args& args, KeepSettings& s);

/// The configuration of `args` (Args::config()) without the number of threads, which results do not depend on.
std::string result_config(const Args& args);

}  // namespace coarsegrad::experiments
