#include "experiments/training/network_file.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/kernels/kernels.h"
#include "experiments/support/provenance.h"
#include "experiments/support/text_table.h"
#include "experiments/training/checkpoint.h"
#include "experiments/training/network_state.h"
#include "experiments/training/settings_of_0_1.h"
#include "nn/networks.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/assembly.h"
#include "quant/method.h"
#include "quant/weights/projection.h"

namespace coarsegrad::experiments {
namespace {

void declare(Args& args, NetworkSettings& s) {
  declare(args, s.net);
  declare_quantization(args, s.method);
  args.add("classes", s.classes, "number of classes", {1, 256});
  declare_pixels(args, s.pixels);
}

void declare(Args& args, Split& s) {
  args.add("dataset", s.dataset, "data set of the training images");
  args.add("images", s.images, "training images, held-out ones included", {0, 1'000'000'000});
  args.add("held-out", s.held_out, "number of training images set aside", {0, 1'000'000'000});
  args.add("data-seed", s.seed, "seed that chose the held-out images");
  args.add("indices-sha256", s.digest, "SHA-256 of the indices of the held-out images");
  args.add("independent", s.independent, "no network that this one comes from was trained on the held-out images");
}

// The knobs of a record as JSON: what a file says is described and checked as a main's flags are. The knobs that every
// Args has are no part of a record.
nlohmann::json json_of(const Args& args) {
  auto json = nlohmann::json::parse(args.config());
  json.erase("seed");
  json.erase("threads");
  return json;
}

template <class Record>
nlohmann::json json_of(Record record) {
  Args args("record", "");
  declare(args, record);
  return json_of(args);
}

template <class Record>
std::optional<Record> entry(const TensorFile& file, const std::filesystem::path& path, const char* name) {
  const auto found = file.metadata.find(name);
  if (found == file.metadata.end()) return {};
  Record record;
  Args args("record", "");
  declare(args, record);
  try {
    args.read(settings_of_today(found->second), cat(path.string(), ": ", name));
  } catch (const UsageError& e) {
    throw Error(e.what());
  }
  return record;
}

std::string words(const Split& s) {
  return cat(s.held_out, " of ", s.images, " images of ", s.dataset, " held out by seed ", s.seed);
}

}  // namespace

std::string words(const NetworkSettings& s) {
  const quant::Method& m = s.method;
  return cat(s.net.net, "; weights ", quant::words(m.weights, quant::weight_projections()), "; activations ",
             quant::words(m.activations, quant::activations()), layers_in_words(m),
             s.pixels == "codes" ? "; pixels as codes" : "");
}

Metadata metadata_of(const NetworkSettings& s) { return {{"settings", json_of(s).dump()}}; }

Metadata metadata_of(const NetworkSettings& s, const Split& split) {
  Metadata entries = metadata_of(s);
  entries["split"] = json_of(split).dump();
  return entries;
}

Metadata measured(double test_accuracy) {
  return {{"test_accuracy", number(test_accuracy)}, {"kernels", active_kernels().name}, {"cpu", cpu_name()}};
}

std::optional<NetworkSettings> settings_in(const TensorFile& file, const std::filesystem::path& path) {
  return entry<NetworkSettings>(file, path, "settings");
}

std::optional<Split> split_in(const TensorFile& file, const std::filesystem::path& path) {
  auto split = entry<Split>(file, path, "split");
  check(!split || nlohmann::json::parse(file.metadata.at("split")) == json_of(*split), path.string(),
        ": split: expected dataset, images, held-out, data-seed, indices-sha256 and independent");
  return split;
}

TensorFile read_network_file(const std::filesystem::path& path) {
  TensorFile file = read_tensor_file(path);
  if (!is_checkpoint(file)) return file;
  const Checkpoint checkpoint = read_checkpoint(path);
  const auto training = checkpoint.parts.find("training");
  check(training != checkpoint.parts.end() && checkpoint.about.contains("settings"), path.string(),
        ": a checkpoint that says nothing of its network's settings: of an earlier version, or of a stage before the ",
        "last one of its training");
  const nn::StateDict best = training->second.part("best").tensors;
  check(!best.empty(), path.string(), ": a checkpoint of a training whose first epoch has not ended, expected one");
  return file_of(best, checkpoint.about);
}

NetworkSettings expect_settings_in(const TensorFile& file, const std::filesystem::path& path) {
  const auto settings = settings_in(file, path);
  check(settings.has_value(), path.string(), ": says nothing of the network's settings; describe_network adds them");
  return *settings;
}

void go_on_with(const std::filesystem::path& path, Split& split) {
  const TensorFile file = read_tensor_file(path);
  const auto before = split_in(file, path);
  if (const auto settings = settings_in(file, path))
    std::printf("starts from %s: %s\n", path.string().c_str(), words(*settings).c_str());
  if (!before || !before->independent) {
    split.independent = false;
    std::printf("%s does not say which images were held out from %s: the held-out accuracy is not independent\n",
                path.string().c_str(), before ? "what it comes from" : "it");
  }
  if (!before || before->dataset != split.dataset || split.held_out == 0) return;
  check_usage(before->same_images(split), path.string(), ": trained with ", words(*before), ", given ", words(split),
              ", which it may have been trained on; expected --images ", before->images, " --held-out ",
              before->held_out, " --data-seed ", before->seed);
}

datasets::ImageDataset images_for(const NetworkSettings& s) {
  datasets::ImageDataset images;
  images.image = nn::network_input(s.net.net);
  images.classes = s.classes;
  return images;
}

DeployedNetwork deployed(const TensorFile& file, const std::filesystem::path& path, const NetworkSettings& s,
                         const datasets::Dataset& data) {
  const int classes = classes_of(data);
  check(classes == s.classes, path.string(), ": a network of ", s.classes, " classes, given ", data.description().name,
        " with ", classes);
  DeployedNetwork d;
  try {
    d.net = quant::make_network(s.method, network_maker(s.net, data, 1), image_of(data));
    d.rule = quant::make_rule(s.method, *d.net);
    load_state(*d.net, d.rule.get(), state_in(file));
  } catch (const Error& e) {
    throw Error(cat(path.string(), ": ", e.what()));
  }
  if (d.rule) d.rule->deploy();
  d.net->eval();
  return d;
}

}  // namespace coarsegrad::experiments
