#pragma once
// The knobs of a training, in groups that a main takes as it needs them, and what is made of them. Those of a method:
// method_settings.h.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/autocast.h"
#include "experiments/support/args.h"
#include "experiments/training/training.h"
#include "nn/activation.h"
#include "optim/schedule.h"
#include "quant/assembly.h"

namespace coarsegrad::experiments {

/// The images that a network learns from and is judged by.
struct DataSettings {
  std::string dataset = "cifar10",  ///< one of dataset_names()
      folder = "data",              ///< of the data set's files
      verify = "checksums",         ///< "checksums" or "layout", for datasets::verify()
      augmentation = "standard",    ///< "standard" or "none"
      pixels = "normalised";        ///< "normalised", or "codes" (datasets/pixel_codes.h)
  int images = 0,                   ///< training images to use, the first ones; 0: all, or 10000 drawn ones
      held_out = 5000,              ///< of the training images, set aside
      cutout = 0;                   ///< side in pixels of the square erased from each training image
  std::uint64_t seed = 0;           ///< of what is set aside, and of drawn images; 0: that of the run
};
/// Adds the flags of the images, --dataset to --data-seed.
void declare(Args& args, DataSettings& s);
/// Adds the flag --verify, for datasets::verify().
void declare_verify(Args& args, std::string& verify);
/// Adds the flag --pixels.
void declare_pixels(Args& args, std::string& pixels);
/// The names that --dataset takes.
std::vector<std::string> dataset_names();
/// Loads or draws the images and sets the held-out ones aside, both by `run_seed` unless the settings have a
/// seed of their own. Throws UsageError when there are too few.
SplitData load_data(const DataSettings& s, std::uint64_t run_seed);
/// The augmentation of training images: crops, flips and cutout as asked for; neither crops nor flips of digits.
datasets::Augmentation augmentation_of(const DataSettings& s);

/// A network of the papers (nn/networks.h).
struct NetSettings {
  std::string net = "resnet20",  ///< one of nn::network_names()
      shortcut = "subsample";    ///< one of nn::shortcut_names(), for a ResNet
  bool affine = true;            ///< normalisations have scale and shift; not those of lenet5
  int width = 0;                 ///< channels of the first convolution; 0: the paper's
};
/// Adds the flags --net, --width, --shortcut and --affine.
void declare(Args& args, NetSettings& s);
/// Makes the network for the classes of `data`, its weights drawn by `seed`. Throws UsageError when it does not take
/// these images.
std::unique_ptr<nn::Module> make_net(const NetSettings& s, const nn::MakeActivation& activation,
                                     const datasets::Dataset& data, std::uint64_t seed);
/// Makes networks by make_net() with the activations that it is given, in the state of the network file `file` unless
/// that is empty. `data` must outlive it.
quant::MakeNetwork network_maker(const NetSettings& s, const datasets::Dataset& data, std::uint64_t seed,
                                 const std::filesystem::path& file = {});

/// How the parameters of a network are moved: optimizer, loss and learning rate.
struct OptimSettings {
  std::string optimizer = "sgd",         ///< "sgd" or "adam"
      schedule = "one_cycle",            ///< "constant", "steps", "exponential", "cosine" or "one_cycle"
      compute = "float32";               ///< what steps compute with, "float32" or "bf16" (core/autocast.h)
  int epochs = 30,                       ///< >= 1
      batch = 128;                       ///< images per step, >= 2
  double lr = 0.2,                       ///< largest learning rate of the schedule
      momentum = 0.9,                    ///< of sgd
      weight_decay = 5e-4,               ///< of parameters with Parameter::decay
      label_smoothing = 0;               ///< ClassificationOptions::label_smoothing
  bool nesterov = false,                 ///< Nesterov's momentum, for sgd
      decay_norms = false;               ///< weight decay of every parameter
  double rise = 0.25,                    ///< one_cycle: share of the steps in which the rate rises
      factor = 0.1,                      ///< steps, exponential: of the rate at each fall
      warmup_epochs = 0;                 ///< of linear rise from 0, before the schedule begins
  int decay_steps = 1000;                ///< exponential: steps between two falls
  std::vector<int> milestones{80, 140};  ///< steps: epochs at which the rate falls, ascending
};
/// Adds the flags of optimizer, loss and learning rate, --epochs to --compute.
void declare(Args& args, OptimSettings& s);
/// End of the message that refuses a training of no epoch.
inline constexpr const char* kJudgeOnly = "; `evaluate FILE` judges a network without training it";
/// Adds the flag --compute.
void declare_compute(Args& args, std::string& compute);
/// The type that --compute calls `name`.
ComputeType compute_type_of(const std::string& name);
/// Makes the optimizer of the settings for any parameters.
quant::MakeOptimizer optimizer_maker(const OptimSettings& s);
/// Sets Parameter::decay of every parameter where `decay_norms` asks for it.
void apply_decay(const OptimSettings& s, nn::Module& net);
/// The learning rate of each step. Throws UsageError for fewer than two steps behind the warm-up, and for milestones
/// that are not ascending or lie before its end.
optim::Schedule make_schedule(const OptimSettings& s, std::int64_t steps_per_epoch);

/// How often a training writes its checkpoint. Results do not depend on it.
struct KeepSettings {
  int save_steps = 0;       ///< steps between two checkpoints; 0: by time alone
  double save_minutes = 5;  ///< most minutes between two checkpoints
};
/// Adds the flags --save-steps and --save-minutes.
void declare(Args& args, KeepSettings& s);

/// The configuration of `args` (Args::config()) without the number of threads, which results do not depend on.
std::string result_config(const Args& args);

}  // namespace coarsegrad::experiments
