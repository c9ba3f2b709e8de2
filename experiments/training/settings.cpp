#include "experiments/training/settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "datasets/cifar.h"
#include "datasets/mnist.h"
#include "datasets/pixel_codes.h"
#include "datasets/synthetic.h"
#include "nn/networks.h"
#include "optim/adam.h"
#include "optim/sgd.h"

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
  if (s.dataset == "cifar100") return datasets::load_cifar100(s.folder, datasets::Cifar100Labels::fine, verify);
  if (s.dataset == "mnist") return datasets::load_mnist(s.folder, verify);
  return drawn(is_digits(s) ? datasets::drawn_digits : datasets::drawn_shapes, s, seed);
}

}  // namespace

// ---- data

std::vector<std::string> dataset_names() { return {"cifar10", "cifar100", "mnist", "drawn_shapes", "drawn_digits"}; }

void declare(Args& args, DataSettings& s) {
  args.add("dataset", s.dataset, "data set of the images; drawn ones need no download", dataset_names());
  args.add("data", s.folder, "folder of the data set's files (datasets/download makes it)");
  declare_verify(args, s.verify);
  args.add("images", s.images, "number of training images, the first of the data set; 0: all, or 10000 drawn ones",
           {0, 1000000});
  args.add("held-out", s.held_out, "number of training images set aside to choose the best epoch", {0, 1000000});
  args.add("augmentation", s.augmentation,
           "changes of training images; standard: random crops of 4 padded pixels, flips; not for digits",
           {"standard", "none"});
  declare_pixels(args, s.pixels);
  args.add("cutout", s.cutout, "side in pixels of a square erased from each training image; 0: none", {0, 64});
  args.add("data-seed", s.seed, "seed that chooses the held-out images and draws drawn ones; 0: that of --seed");
  args.add_need({"data"}, "dataset", "with images that are drawn: --dataset names others",
                [&s] { return !s.dataset.starts_with("drawn"); });
  args.add_need({"augmentation"}, "dataset", "with digits in --dataset",
                [&s] { return !is_digits(s) || s.augmentation == "none"; });
}

void declare_verify(Args& args, std::string& verify) {
  args.add("verify", verify, "accepted files of a data set: the published ones byte for byte, or any of their layout",
           {"checksums", "layout"});
}

void declare_pixels(Args& args, std::string& pixels) {
  args.add("pixels", pixels,
           "what a network sees of a byte b; normalised: mean 0, deviation 1; codes: the integer b - 128, over 64",
           {"normalised", "codes"});
}

SplitData load_data(const DataSettings& s, std::uint64_t run_seed) {
  const std::uint64_t seed = s.seed > 0 ? s.seed : run_seed;
  datasets::TrainTest data = load(s, seed);
  if (s.images > 0) data.train = first_images(data.train, s.images);
  SplitData parts = split(std::move(data), s.held_out, seed, s.dataset);
  if (s.pixels == "codes")
    for (SplitData::Samples* part : {&parts.train, &parts.held_out, &parts.test})
      *part = std::make_shared<datasets::PixelCodes>(*part);
  return parts;
}

datasets::Augmentation augmentation_of(const DataSettings& s) {
  datasets::Augmentation augmentation;
  if (s.augmentation == "standard" && !is_digits(s)) augmentation = datasets::kCropAndFlip;
  augmentation.cutout = s.cutout;
  return augmentation;
}

// ---- network

void declare(Args& args, NetSettings& s) {
  args.add("net", s.net, "architecture of the network", nn::network_names());
  args.add("width", s.width, "channels of the network's first convolution; 0: the paper's", {0, 4096});
  args.add("shortcut", s.shortcut,
           "shortcuts of a ResNet: without parameters, missing channels behind or on both sides, or a 1x1 convolution",
           nn::shortcut_names());
  args.add("affine", s.affine, "normalisations with scale and shift; not those of lenet5");
  args.add_need({"shortcut"}, "net", "without a ResNet in --net",
                [&s] { return s.shortcut == "subsample" || s.net.find("resnet") != std::string::npos; });
  args.add_need({"width"}, "net", "with --net lenet5", [&s] { return s.net != "lenet5" || s.width == 0; });
  args.add_need({"affine"}, "net", "with --net lenet5", [&s] { return s.net != "lenet5" || s.affine; });
}

std::unique_ptr<nn::Module> make_net(const NetSettings& s, const nn::MakeActivation& activation,
                                     const datasets::Dataset& data, std::uint64_t seed) {
  check_usage(nn::network_input(s.net) == image_of(data), "net: ", s.net, " takes images of shape ",
              nn::network_input(s.net), ", given ", data.description().name, " with ", image_of(data));
  return nn::make_network(
      s.net, activation, Rng(seed).split("net"),
      {.classes = classes_of(data), .width = s.width, .shortcut = nn::shortcut(s.shortcut), .affine = s.affine});
}

quant::MakeNetwork network_maker(const NetSettings& s, const datasets::Dataset& data, std::uint64_t seed,
                                 const std::filesystem::path& file) {
  return [s, &data, seed, file](const nn::MakeActivation& activation) {
    auto net = make_net(s, activation, data, seed);
    if (!file.empty()) load_network(file, *net);
    return net;
  };
}

// ---- optimization

void declare(Args& args, OptimSettings& s) {
  args.add("epochs", s.epochs, "passes over the training images", {1, 100000});
  args.add("batch", s.batch, "images per step; what is left over at the end of an epoch is left out", {2, 100000});
  args.add("optimizer", s.optimizer, "optimizer that moves the parameters", {"sgd", "adam"});
  args.add("lr", s.lr, "learning rate, the largest of --schedule", {0, 100});
  args.add("momentum", s.momentum, "momentum of --optimizer sgd", {0, 0.9999});
  args.add("nesterov", s.nesterov, "Nesterov's momentum for --optimizer sgd");
  args.add("weight-decay", s.weight_decay, "weight decay; scale and shift of normalisations only with --decay-norms",
           {0, 10});
  args.add("decay-norms", s.decay_norms, "weight decay of scale and shift of normalisations, too");
  args.add("label-smoothing", s.label_smoothing, "share of each target given to all classes alike", {0, 0.99});
  args.add("schedule", s.schedule, "course of the learning rate over the training",
           {"constant", "steps", "exponential", "cosine", "one_cycle"});
  args.add("rise", s.rise, "--schedule one_cycle: share of the steps in which the learning rate rises", {0.001, 0.999});
  args.add("milestones", s.milestones, "--schedule steps: epochs at which the learning rate falls", {0, 100000});
  args.add("factor", s.factor, "--schedule steps, exponential: factor of the learning rate at each fall", {1e-9, 1});
  args.add("decay-steps", s.decay_steps, "--schedule exponential: steps between two falls of the learning rate",
           {1, 1000000000});
  args.add("warmup-epochs", s.warmup_epochs, "epochs in which the learning rate rises from 0, before --schedule begins",
           {0, 100000});
  declare_compute(args, s.compute);
  args.add_hint("epochs", kJudgeOnly);
  args.add_need({"momentum", "nesterov"}, "optimizer", "without --optimizer sgd",
                [&s] { return s.optimizer == "sgd" || (!s.nesterov && s.momentum == 0); });
  args.add_need({"rise"}, "schedule", "without --schedule one_cycle", [&s] { return s.schedule == "one_cycle"; });
  args.add_need({"milestones"}, "schedule", "without --schedule steps", [&s] { return s.schedule == "steps"; });
  args.add_need({"factor"}, "schedule", "without --schedule steps or exponential",
                [&s] { return s.schedule == "steps" || s.schedule == "exponential"; });
  args.add_need({"decay-steps"}, "schedule", "without --schedule exponential",
                [&s] { return s.schedule == "exponential"; });
}

void declare_compute(Args& args, std::string& compute) {
  args.add("compute", compute, "what steps compute with; bf16: products, activations and gradients of 16 bits",
           {"float32", "bf16"});
}

ComputeType compute_type_of(const std::string& name) {
  return name == "bf16" ? ComputeType::bfloat16 : ComputeType::real;
}

quant::MakeOptimizer optimizer_maker(const OptimSettings& s) {
  check_usage(!s.nesterov || s.momentum > 0, "nesterov: given momentum 0, expected more");
  return [s](std::vector<Parameter*> parameters) -> std::unique_ptr<optim::Optimizer> {
    if (s.optimizer == "adam")
      return std::make_unique<optim::Adam>(std::move(parameters),
                                           optim::AdamOptions{.lr = s.lr, .weight_decay = s.weight_decay});
    return std::make_unique<optim::Sgd>(
        std::move(parameters),
        optim::SgdOptions{.lr = s.lr, .momentum = s.momentum, .nesterov = s.nesterov, .weight_decay = s.weight_decay});
  };
}

void apply_decay(const OptimSettings& s, nn::Module& net) {
  if (!s.decay_norms) return;
  for (Parameter* p : net.parameters()) p->decay = true;
}

optim::Schedule make_schedule(const OptimSettings& s, std::int64_t per_epoch) {
  const auto warmup = static_cast<std::int64_t>(std::llround(s.warmup_epochs * static_cast<double>(per_epoch)));
  const std::int64_t steps = s.epochs * per_epoch - warmup;
  if (steps < 2) {
    const std::string after = warmup > 0 ? cat(" after ", warmup, " of warmup-epochs") : "";
    throw UsageError(cat("epochs: given ", s.epochs, ", of ", per_epoch, " steps each with batch ", s.batch,
                         ", expected at least 2 steps", after));
  }
  const auto body = [&]() -> optim::Schedule {
    if (s.schedule == "constant") return optim::constant(s.lr);
    if (s.schedule == "exponential") return optim::step_decay(s.lr, s.decay_steps, s.factor);
    if (s.schedule == "cosine") return optim::cosine(s.lr, steps);
    if (s.schedule == "one_cycle") return optim::one_cycle({.max_rate = s.lr, .steps = steps, .rise = s.rise});
    std::vector<std::int64_t> milestones;
    for (const int epoch : s.milestones) milestones.push_back(epoch * per_epoch - warmup);
    check_usage(std::ranges::is_sorted(milestones) && milestones.front() >= 0,
                "milestones: expected them in ascending order, none before the end of the warm-up");
    return optim::multi_step(s.lr, milestones, s.factor);
  };
  return warmup > 0 ? optim::linear_warmup(body(), warmup) : body();
}

// ---- checkpoints

void declare(Args& args, KeepSettings& s) {
  args.add("save-steps", s.save_steps, "steps between two checkpoints; 0: by time only", {0, 1000000000});
  args.add("save-minutes", s.save_minutes, "most minutes between two checkpoints", {0.001, 100000});
}

std::string result_config(const Args& args) {
  auto config = nlohmann::json::parse(args.config());
  config.erase("threads");
  return config.dump();
}

}  // namespace coarsegrad::experiments
