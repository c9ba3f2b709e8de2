#pragma once
// The knobs of a training, in groups that a main takes as it needs them, and what is made of them.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "experiments/support/args.h"
#include "experiments/training/training.h"
#include "nn/activation.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "quant/weights/weight_rule.h"

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
  std::string net = "resnet20", shortcut = "subsample", activation = "uniform", ste = "own", alpha = "fixed";
  bool affine = true;
  int width = 0, activation_bits = 0;
  double alpha_start = 0, alpha_rate = 0;
  bool clamp_alpha_gradient = false, record_alpha = false, quantize_last_activation = true;
};
void declare(Args& args, NetSettings& s);
/// Without the quantization of the activations, and that alone.
void declare_float(Args& args, NetSettings& s);
void declare_activation(Args& args, NetSettings& s);
/// Float ReLUs for 0 bits.
nn::MakeActivation make_activation(const NetSettings& s);
/// For the fields "image" and "label" of `data`. Throws UsageError when the network does not take these images, or for
/// an STE that is not the activation's.
std::unique_ptr<nn::Module> make_net(const NetSettings& s, const datasets::Dataset& data, std::uint64_t seed);

struct RuleSettings {
  int weight_bits = 0, sign_of_zero = 1;
  std::string projection = "exact", relaxation = "blend";
  int lloyd_steps = 1;
  bool per_channel = false, quantize_first = true, quantize_last = false;
  double rho = 1e-5, rho_growth = 1;
  double strength = 1, growth = 1.04, every = 1, hard_from = 0.75;
  double mu_over_max = 0.75;
  std::string level_scale = "fitted";
  int powers = 2;
};
void declare(Args& args, RuleSettings& s);
/// Without the relaxation.
void declare_projection(Args& args, RuleSettings& s);
/// Null for float weights. Throws UsageError for bits that the projection does not have.
std::unique_ptr<quant::WeightRule> make_rule(const RuleSettings& s, nn::Module& net);

struct OptimSettings {
  std::string optimizer = "sgd", schedule = "one_cycle";
  int epochs = 30, batch = 128;
  double lr = 0.2, momentum = 0.9, weight_decay = 5e-4, label_smoothing = 0;
  double bop_rate = 1e-4, bop_threshold = 1e-8;
  bool nesterov = false, decay_norms = false;
  double rise = 0.25, factor = 0.1, warmup_epochs = 0;
  std::vector<int> milestones{80, 140};
};
void declare(Args& args, OptimSettings& s);
/// Refuses bop's own knobs unless `used()`, which depends on the knob `other`.
void need_bop(Args& args, const std::string& other, std::function<bool()> used);
/// What is said to who wants to train for no epoch.
inline constexpr const char* kJudgeOnly = "; `evaluate FILE` judges a network without training it";
/// Over the parameters of the network, of its weight rule and of a partner network, where there are those.
/// bop moves the weights of the rule, which become binary here, and adam everything else.
std::unique_ptr<optim::Optimizer> make_optimizer(const OptimSettings& s, nn::Module& net,
                                                 quant::WeightRule* rule = nullptr,
                                                 nn::Module* partner = nullptr);
optim::Schedule make_schedule(const OptimSettings& s, std::int64_t steps_per_epoch);

/// What a run keeps of itself, and how often. Results do not depend on it.
struct KeepSettings {
  int save_steps = 0;
  double save_minutes = 5;
};
void declare(Args& args, KeepSettings& s);

/// The configuration of `args` (Args::config()) without the number of threads, which results do not depend
/// on.
std::string result_config(const Args& args);

}  // namespace coarsegrad::experiments
