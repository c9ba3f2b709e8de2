#pragma once
// What the training mains share: data cut in three, checks, networks on disk.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "datasets/images.h"
#include "datasets/loader.h"
#include "experiments/support/tensor_file.h"
#include "nn/module.h"

namespace coarsegrad::experiments {

/// Which of the training samples were set aside. Two of the same data set with the same numbers, seed and
/// digest are the same.
struct Split {
  std::string dataset;        ///< name that --dataset knows it by
  std::int64_t images = 0;    ///< training samples, those set aside included
  std::int64_t held_out = 0;  ///< those set aside
  std::uint64_t seed = 0;     ///< of the choice, and of the samples where they are drawn
  std::string digest;         ///< SHA-256 of the indices set aside, ascending, 8 bytes each, little-endian
  bool independent = true;    ///< false: networks that this one comes from may have been trained on them

  bool same_images(const Split& other) const;
};

/// What a net learns from, what its best epoch is chosen by, and what it is judged by: any data sets with the fields
/// that the task asks for.
struct SplitData {
  using Samples = std::shared_ptr<const datasets::Dataset>;
  Samples train, held_out, test;  ///< the last two may be empty
  Split split = {};
};
/// Of the field "label". Throws Error where there is none.
int classes_of(const datasets::Dataset& data);
/// (H, W, C) of the field "image". Throws Error where there is none.
Shape image_of(const datasets::Dataset& data);
/// Sets `count` of the training samples aside, chosen by `seed` alone; `name` is what --dataset calls them.
/// Throws UsageError unless 0 <= count < train->size().
SplitData split(SplitData::Samples train, SplitData::Samples test, std::int64_t count, std::uint64_t seed,
                const std::string& name = "");
SplitData split(datasets::TrainTest data, std::int64_t count, std::uint64_t seed, const std::string& name = "");

/// The first `count` samples, or all when there are fewer.
SplitData::Samples first_samples(SplitData::Samples data, std::int64_t count);
/// The same of images, as a data set that can be changed.
datasets::ImageDataset first_images(const datasets::ImageDataset& data, std::int64_t count);

/// Puts a network into a mode and back.
class ModeScope {
 public:
  ModeScope(nn::Module& net, bool training) : net_(net), before_(net.training()) { net.train(training); }
  ~ModeScope() { net_.train(before_); }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  nn::Module& net_;
  bool before_;
};

/// No element is NaN or infinite. Costs one pass over memory.
bool all_finite(std::span<const Real> values);
/// Throws Diverged, naming the parameter, when a gradient is not finite.
void expect_finite_gradients(const std::vector<std::pair<std::string, Parameter*>>& parameters);
/// Where numbers that are not finite come from: "the field NAME" of the batch, "the output of NAME", the first module
/// in order of execution, or "the loss". Calls `run`, which runs the network on the batch in its present mode, once and
/// without recording gradients.
std::string first_not_finite(nn::Module& net, const NamedTensors& batch, const std::function<void()>& run);

/// The tensors of a network file.
nn::StateDict state_in(const TensorFile& file);
/// The state dict of a network as a tensor file, float whatever Real is; what `metadata` says of it: network_file.h.
void save_network(const std::filesystem::path& path, const nn::StateDict& state,
                  const std::map<std::string, std::string>& metadata);
/// Entry of the metadata that says which training a network came from.
inline constexpr const char* kTrainingKey = "training_sha256";
/// Throws Error unless save_network() may write at `path` later: nothing is there, or a network whose
/// kTrainingKey is `training`. For the time before the first step.
void check_replaceable(const std::filesystem::path& path, const std::string& training);

/// Fills the network and returns the metadata. Throws Error when file and network do not fit; trained
/// resolutions may be missing, and keep their values then, or be too many; what weight projections have kept
/// is passed over.
std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net);

}  // namespace coarsegrad::experiments
