#include "experiments/training/settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "datasets/cifar.h"
#include "datasets/mnist.h"
#include "datasets/synthetic.h"
#include "nn/networks.h"
#include "optim/adam.h"
#include "optim/bop.h"
#include "optim/joint.h"
#include "optim/sgd.h"
#include "quant/activations/dorefa.h"
#include "quant/activations/trained.h"
#include "quant/method.h"

namespace coarsegrad::experiments {
namespace {

bool is_digits(const DataSettings& s) { return s.dataset == "mnist" || s.dataset == "drawn_digits"; }

datasets::TrainTest drawn(datasets::ImageDataset (*draw)(std::int64_t, std::uint64_t, std::uint64_t),
                          const DataSettings& s, std::uint64_t seed) {
  const std::int64_t count = s.images > 0 ? s.images : 10000;
  return {draw(count, seed, 0), draw(std::max<std::int64_t>(1, count / 5), seed, 1)};
}

datasets::TrainTest load(const DataSettings& s, std::uint64_t seed) {
  const datasets::Verify verify = datasets::verify(s.verify);
  if (s.dataset == "cifar10") return datasets::load_cifar10(s.folder, verify);
  if (s.dataset == "cifar100")
    return datasets::load_cifar100(s.folder, datasets::Cifar100Labels::fine, verify);
  if (s.dataset == "mnist") return datasets::load_mnist(s.folder, verify);
  return drawn(is_digits(s) ? datasets::drawn_digits : datasets::drawn_shapes, s, seed);
}

}  // namespace

// ---- data

std::vector<std::string> dataset_names() {
  return {"cifar10", "cifar100", "mnist", "drawn_shapes", "drawn_digits"};
}

void declare(Args& args, DataSettings& s) {
  args.add("dataset", s.dataset, "images; drawn ones need no download", dataset_names());
  args.add("data", s.folder, "folder that holds them (datasets/download makes it)");
  declare_verify(args, s.verify);
  args.add("images", s.images, "training images to use, the first ones; 0: all, or 10000 drawn ones",
           {0, 1000000});
  args.add("held-out", s.held_out, "of them set aside to choose the best epoch", {0, 1000000});
  args.add("augmentation", s.augmentation, "standard: random crops of 4 padded pixels, flips; not for digits",
           {"standard", "none"});
  args.add("cutout", s.cutout, "side of a square that is erased from each training image", {0, 64});
  args.add("data-seed", s.seed, "of the choice of those set aside, and of drawn images; 0: that of --seed");
  args.add_need({"data"}, "dataset", "with images that are drawn: --dataset names others",
                [&s] { return !s.dataset.starts_with("drawn"); });
  args.add_need({"augmentation"}, "dataset", "with digits in --dataset",
                [&s] { return !is_digits(s) || s.augmentation == "none"; });
}

void declare_verify(Args& args, std::string& verify) {
  args.add("verify", verify, "files of a data set: the published ones byte for byte, or any of their layout",
           {"checksums", "layout"});
}

SplitData load_data(const DataSettings& s, std::uint64_t run_seed) {
  const std::uint64_t seed = s.seed > 0 ? s.seed : run_seed;
  datasets::TrainTest data = load(s, seed);
  if (s.images > 0) data.train = first_images(data.train, s.images);
  return split(std::move(data), s.held_out, seed, s.dataset);
}

datasets::Augmentation augmentation_of(const DataSettings& s) {
  datasets::Augmentation augmentation;
  if (s.augmentation == "standard" && !is_digits(s)) augmentation = datasets::kCropAndFlip;
  augmentation.cutout = s.cutout;
  return augmentation;
}

// ---- network

void declare_float(Args& args, NetSettings& s) {
  args.add("net", s.net, "network", nn::network_names());
  args.add("width", s.width, "channels of its first convolution; 0: as in the paper", {0, 4096});
  args.add("shortcut", s.shortcut,
           "of a ResNet: without parameters, missing channels behind or on both sides, or a 1x1 convolution",
           nn::shortcut_names());
  args.add("affine", s.affine, "normalisations with scale and shift; not those of lenet5");
  args.add_need({"shortcut"}, "net", "without a ResNet in --net",
                [&s] { return s.shortcut == "subsample" || s.net.find("resnet") != std::string::npos; });
  args.add_need({"width"}, "net", "with --net lenet5", [&s] { return s.net != "lenet5" || s.width == 0; });
  args.add_need({"affine"}, "net", "with --net lenet5", [&s] { return s.net != "lenet5" || s.affine; });
}

void declare(Args& args, NetSettings& s) {
  declare_float(args, s);
  declare_activation(args, s);
}

namespace {

bool is_one_of(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

quant::ActivationParts activation_of(const NetSettings& s) {
  const bool fixed = s.alpha == "fixed", trained = s.activation == "uniform" && !fixed;
  quant::ActivationOptions options{.bits = s.activation_bits,
                                   .surrogate = s.ste == "own" ? "" : s.ste,
                                   .alpha = s.alpha_start,
                                   .rate_factor = s.alpha_rate,
                                   .clamp_gradient = s.clamp_alpha_gradient,
                                   .record_range = s.record_alpha};
  if (!fixed) options.alpha_rule = alpha_rule(s.alpha);
  return {trained ? "trained" : s.activation, options};
}

bool has_no_resolution(const NetSettings& s) {
  return is_one_of(s.activation, {"sign", "dorefa", "dorefa_abs", "dorefa_tanh", "minmax"});
}

}  // namespace

void declare_activation(Args& args, NetSettings& s) {
  args.add("activation-bits", s.activation_bits, "bits of the activations; 0: float ReLU", {0, 8});
  args.add("activation", s.activation, "how activations are quantized", quant::activation_names());
  Choices surrogates = surrogate_names();
  surrogates.insert(surrogates.begin(), "own");
  args.add("ste", s.ste, "straight-through estimator of quantized activations; own: theirs", surrogates);
  args.add("alpha", s.alpha, "resolution of uniform activations: fixed, or trained with this derivative",
           {"fixed", "exact", "three_valued", "pact"});
  args.add("alpha-start", s.alpha_start, "its first value if trained; 0: the one for half-Gaussian input",
           {0, quant::TrainedActivation::kMostAlpha});
  args.add("alpha-rate", s.alpha_rate, "factor of its learning rate; 0: the activation's own", {0, 100});
  args.add("clamp-alpha-gradient", s.clamp_alpha_gradient,
           "that factor multiplies the gradient instead, which is then clamped to [-1, 1]");
  args.add("quantize-last-activation", s.quantize_last_activation,
           "what the last layer reads, too; only dorefa may leave it bounded");
  args.add("record-alpha", s.record_alpha,
           "train with float ReLUs, and leave max|x| / (2^bits - 1) in a trained alpha as a later start");
  args.add_need(
      {"activation", "ste", "alpha", "alpha-start", "alpha-rate", "clamp-alpha-gradient",
       "quantize-last-activation"},
      "activation-bits", "without --activation-bits", [&s] { return s.activation_bits > 0; });
  args.add_need({"alpha"}, "activation", "without --activation uniform or trained", [&s] {
    return is_one_of(s.activation, {"uniform", "trained"});
  });
  args.add_need({"clamp-alpha-gradient"}, "alpha", "without an --alpha that is trained",
                [&s] { return !s.clamp_alpha_gradient || activation_of(s).map == "trained"; });
  args.add_need({"alpha-rate"}, "alpha", "without an --alpha or another --activation that is trained", [&s] {
    return !has_no_resolution(s) && activation_of(s).map != "uniform";
  });
  args.add_need({"alpha-start"}, "activation", "with an --activation that has no resolution to choose",
                [&s] { return !has_no_resolution(s); });
}

nn::MakeActivation make_activation(const NetSettings& s) { return quant::make_activation(activation_of(s)); }

std::unique_ptr<nn::Module> make_net(const NetSettings& s, const datasets::Dataset& data, std::uint64_t seed) {
  const datasets::Description about = data.description();
  const Shape image = about.field("image").shape;
  check_usage(nn::network_input(s.net) == image, "net: ", s.net, " takes images of shape ",
              nn::network_input(s.net), ", given ", about.name, " with ", image);
  check_usage(!s.record_alpha || (s.activation_bits > 0 && activation_of(s).map == "trained"),
              "record-alpha: needs activation-bits and a trained alpha");
  auto net = nn::make_network(
      s.net, make_activation(s), Rng(seed).split("net"),
      {.classes = classes_of(data), .width = s.width, .shortcut = nn::shortcut(s.shortcut), .affine = s.affine});
  if (!s.quantize_last_activation) quant::keep_last_activation_float(*net, image);
  return net;
}

// ---- weights

namespace {

void need_weight_bits(Args& args, const RuleSettings& s, std::vector<std::string> names) {
  args.add_need(std::move(names), "weight-bits", "without --weight-bits", [&s] { return s.weight_bits > 0; });
}

}  // namespace

void declare_projection(Args& args, RuleSettings& s) {
  args.add("weight-bits", s.weight_bits, "bits of the weights; 0: float", {0, 8});
  args.add("projection", s.projection, "of the float weights onto quantized ones", quant::projection_names());
  args.add("per-channel", s.per_channel, "a scale for each output channel instead of one for each layer");
  args.add("lloyd-steps", s.lloyd_steps, "lloyd, warm_lloyd: steps of the alternation in each projection",
           {1, 1000});
  args.add("sign-of-zero", s.sign_of_zero, "code of a weight that is 0, with 1 bit", {0, 1});
  args.add("mu-over-max", s.mu_over_max, "power_of_two: mu, from where on weights are 1, over max|w|",
           {1e-6, 10});
  args.add("level-scale", s.level_scale,
           "fixed_levels: fitted to the first weights, 1, or following the mean of |w|", level_scale_names());
  args.add("level-powers", s.powers, "fixed_levels of 3 bits: powers of two among them", {2, 3});
  args.add("quantize-first", s.quantize_first, "the first layer, too");
  args.add("quantize-last", s.quantize_last, "the last layer, too");
  need_weight_bits(args, s,
                   {"projection", "per-channel", "lloyd-steps", "sign-of-zero", "mu-over-max", "level-scale",
                    "level-powers", "quantize-first", "quantize-last"});
  args.add_need({"lloyd-steps"}, "projection", "without --projection lloyd or warm_lloyd", [&s] {
    return is_one_of(s.projection, {"lloyd", "warm_lloyd"});
  });
  args.add_need({"sign-of-zero"}, "weight-bits", "without --weight-bits 1",
                [&s] { return s.weight_bits == 1; });
  args.add_need({"mu-over-max"}, "projection", "without --projection power_of_two",
                [&s] { return s.projection == "power_of_two"; });
  args.add_need({"level-scale", "level-powers"}, "projection", "without --projection fixed_levels",
                [&s] { return s.projection == "fixed_levels"; });
}

void declare(Args& args, RuleSettings& s) {
  declare_projection(args, s);
  args.add("relaxation", s.relaxation, "how float weights and their projections live together",
           quant::relaxation_names());
  args.add("rho", s.rho, "blend: share of the projection in a step; 0: straight through", {0, 1});
  args.add("rho-growth", s.rho_growth, "rho is multiplied by it after each epoch, up to 0.01", {1, 1000});
  args.add("strength", s.strength, "of the other relaxations at the start: lambda", {0, 1e6});
  args.add("growth", s.growth, "what multiplies it", {1, 1000});
  args.add("every", s.every, "epochs between two such growths", {0.001, 1000});
  args.add("hard-from", s.hard_from, "share of the training after which the projection takes its place",
           {0, 1});
  need_weight_bits(
      args, s, {"relaxation", "rho", "rho-growth", "strength", "growth", "every", "hard-from"});
  args.add_need({"rho", "rho-growth"}, "relaxation", "without --relaxation blend",
                [&s] { return s.relaxation == "blend"; });
  args.add_need({"strength", "growth", "every", "hard-from"}, "relaxation",
                "with --relaxation none, blend or clip", [&s] {
                  return !is_one_of(s.relaxation, {"none", "blend", "clip"});
                });
}

namespace {

quant::RelaxationOptions relaxation_options(const RuleSettings& s) {
  if (s.relaxation == "blend")
    return {.strength = s.rho, .growth = s.rho_growth, .most = s.rho_growth > 1 ? 0.01 : 1};
  return {.strength = s.strength, .growth = s.growth, .every = s.every, .hard_from = s.hard_from};
}

}  // namespace

std::unique_ptr<quant::WeightRule> make_rule(const RuleSettings& s, nn::Module& net) {
  return quant::make_rule({.projection = s.projection,
                           .options = {.bits = s.weight_bits,
                                       .sign_of_zero = s.sign_of_zero,
                                       .per_channel = s.per_channel,
                                       .lloyd_steps = s.lloyd_steps,
                                       .mu_over_max = s.mu_over_max,
                                       .level_scale = level_scale(s.level_scale),
                                       .three_bits = static_cast<ThreeBits>(s.powers)},
                           .relaxation = s.relaxation,
                           .relaxation_options = relaxation_options(s),
                           .layers = {.quantize_first = s.quantize_first, .quantize_last = s.quantize_last}},
                          net);
}

// ---- optimization

void declare(Args& args, OptimSettings& s) {
  args.add("epochs", s.epochs, "passes over the training images", {1, 100000});
  args.add("batch", s.batch, "images per step; what is left over at the end of an epoch is left out",
           {2, 100000});
  args.add("optimizer", s.optimizer, "update rule; bop: binary weights flip, adam moves the rest",
           {"sgd", "adam", "bop"});
  args.add("bop-rate", s.bop_rate, "bop: adaptivity rate, scheduled as the learning rate is", {0, 1});
  args.add("bop-threshold", s.bop_threshold, "bop: mean gradient that flips a weight", {0, 1});
  args.add("lr", s.lr, "learning rate, the largest of the schedule", {0, 100});
  args.add("momentum", s.momentum, "of sgd", {0, 0.9999});
  args.add("nesterov", s.nesterov, "look-ahead momentum");
  args.add("weight-decay", s.weight_decay, "of everything but norms", {0, 10});
  args.add("decay-norms", s.decay_norms, "weight decay of their scale and shift, too");
  args.add("label-smoothing", s.label_smoothing, "share of each target given to all classes alike",
           {0, 0.99});
  args.add("schedule", s.schedule, "learning rate over time", {"constant", "steps", "cosine", "one_cycle"});
  args.add("rise", s.rise, "one_cycle: share of the time spent going up", {0.001, 0.999});
  args.add("milestones", s.milestones, "steps: epochs at which the rate falls", {0, 100000});
  args.add("factor", s.factor, "steps: what it is multiplied by", {1e-9, 1});
  args.add("warmup-epochs", s.warmup_epochs, "epochs of linear rise from 0 before the schedule", {0, 100000});
  args.add_hint("epochs", kJudgeOnly);
  args.add_need({"momentum", "nesterov"}, "optimizer", "without --optimizer sgd",
                [&s] { return s.optimizer == "sgd" || (!s.nesterov && s.momentum == 0); });
  args.add_need({"rise"}, "schedule", "without --schedule one_cycle",
                [&s] { return s.schedule == "one_cycle"; });
  args.add_need({"milestones", "factor"}, "schedule", "without --schedule steps",
                [&s] { return s.schedule == "steps"; });
}

void need_bop(Args& args, const std::string& other, std::function<bool()> used) {
  args.add_need({"bop-rate", "bop-threshold"}, other, cat("without bop in --", other), std::move(used));
}

namespace {

std::unique_ptr<optim::Optimizer> adam(const OptimSettings& s, std::vector<Parameter*> parameters) {
  return std::make_unique<optim::Adam>(std::move(parameters),
                                       optim::AdamOptions{.lr = s.lr, .weight_decay = s.weight_decay});
}

// Bop has no float weights: those of the rule start at what they are projected to.
std::unique_ptr<optim::Optimizer> bop(const OptimSettings& s, std::vector<Parameter*> parameters,
                                      quant::WeightRule* rule) {
  check_usage(rule && s.lr > 0, "optimizer: bop needs weight-bits and a learning rate above 0");
  std::vector<Parameter*> binary;
  for (const auto& entry : rule->weights()) {
    check_usage(entry.projection->bits() == 1, "optimizer: given bop and ", entry.projection->bits(),
                "-bit weights, expected 1");
    entry.weight->value = entry.projection->project(entry.weight->value);
    entry.weight->rate_factor = s.bop_rate / s.lr;
    binary.push_back(entry.weight);
    std::erase(parameters, entry.weight);
  }
  std::vector<std::unique_ptr<optim::Optimizer>> rules;
  rules.push_back(
      std::make_unique<optim::Bop>(binary, optim::BopOptions{.lr = s.lr, .threshold = s.bop_threshold}));
  rules.push_back(adam(s, std::move(parameters)));
  return std::make_unique<optim::Joint>(std::move(rules));
}

}  // namespace

std::unique_ptr<optim::Optimizer> make_optimizer(const OptimSettings& s, nn::Module& net,
                                                 quant::WeightRule* rule, nn::Module* partner) {
  check_usage(!s.nesterov || s.momentum > 0, "nesterov: given momentum 0, expected more");
  std::vector<Parameter*> parameters = net.parameters();
  const auto append = [&](const std::vector<Parameter*>& more) {
    parameters.insert(parameters.end(), more.begin(), more.end());
  };
  if (partner) append(partner->parameters());
  if (s.decay_norms)
    for (Parameter* p : parameters) p->decay = true;
  if (rule) append(rule->parameters());
  if (s.optimizer == "adam") return adam(s, std::move(parameters));
  if (s.optimizer == "bop") return bop(s, std::move(parameters), rule);
  return std::make_unique<optim::Sgd>(
      std::move(parameters),
      optim::SgdOptions{
          .lr = s.lr, .momentum = s.momentum, .nesterov = s.nesterov, .weight_decay = s.weight_decay});
}

optim::Schedule make_schedule(const OptimSettings& s, std::int64_t per_epoch) {
  const auto warmup =
      static_cast<std::int64_t>(std::llround(s.warmup_epochs * static_cast<double>(per_epoch)));
  const std::int64_t steps = s.epochs * per_epoch - warmup;
  if (steps < 2) {
    const std::string after = warmup > 0 ? cat(" after ", warmup, " of warmup-epochs") : "";
    throw UsageError(cat("epochs: given ", s.epochs, ", of ", per_epoch, " steps each with batch ", s.batch,
                         ", expected at least 2 steps", after));
  }
  const auto body = [&]() -> optim::Schedule {
    if (s.schedule == "constant") return optim::constant(s.lr);
    if (s.schedule == "cosine") return optim::cosine(s.lr, steps);
    if (s.schedule == "one_cycle")
      return optim::one_cycle({.max_rate = s.lr, .steps = steps, .rise = s.rise});
    std::vector<std::int64_t> milestones;
    for (const int epoch : s.milestones) milestones.push_back(epoch * per_epoch - warmup);
    check_usage(std::ranges::is_sorted(milestones) && milestones.front() >= 0,
                "milestones: expected them in ascending order, none before the end of the warm-up");
    return optim::multi_step(s.lr, milestones, s.factor);
  };
  return warmup > 0 ? optim::linear_warmup(body(), warmup) : body();
}

// ---- keeping

void declare(Args& args, KeepSettings& s) {
  args.add("save-steps", s.save_steps, "steps between two checkpoints; 0: by time only", {0, 1000000000});
  args.add("save-minutes", s.save_minutes, "longest time between two checkpoints", {0.001, 100000});
}

std::string result_config(const Args& args) {
  auto config = nlohmann::json::parse(args.config());
  config.erase("threads");
  return config.dump();
}

}  // namespace coarsegrad::experiments
