#pragma once
// Data cut in three, checks of numbers, networks on disk.
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

/// Which of the training samples were set aside.
struct Split {
  std::string dataset;        ///< name that --dataset knows it by
  std::int64_t images = 0;    ///< training samples, those set aside included
  std::int64_t held_out = 0;  ///< those set aside
  std::uint64_t seed = 0;     ///< of the choice, and of the samples where they are drawn
  std::string digest;         ///< SHA-256 of the indices set aside, ascending, 8 bytes each, little-endian
  bool independent = true;    ///< false: networks that this one comes from may have been trained on them

  /// Whether both set the same samples of one data set aside: data set, numbers, seed and digest are equal.
  bool same_images(const Split& other) const;
};

/// The data of a training, any data sets with the fields that the task asks for.
struct SplitData {
  /// A data set that several owners read.
  using Samples = std::shared_ptr<const datasets::Dataset>;
  Samples train,     ///< what the network learns from; not empty
      held_out,      ///< what the best epoch is chosen by; may be empty
      test;          ///< what the network is judged by; may be empty
  Split split = {};  ///< which samples are held out
};
/// Number of classes of the field "label". Throws Error where there is none.
int classes_of(const datasets::Dataset& data);
/// Shape (H, W, C) of the field "image". Throws Error where there is none.
Shape image_of(const datasets::Dataset& data);
/// "codes" where batches hold the field "image" as codes (datasets/pixel_codes.h), else "normalised", as
/// DataSettings::pixels. Throws Error where there is none.
std::string pixels_of(const datasets::Dataset& data);
/// Sets `count` of the training samples aside, chosen by `seed` alone; `name` is what --dataset calls them.
/// Throws UsageError unless 0 <= count < train->size().
SplitData split(SplitData::Samples train, SplitData::Samples test, std::int64_t count, std::uint64_t seed,
                const std::string& name = "");
SplitData split(datasets::TrainTest data, std::int64_t count, std::uint64_t seed, const std::string& name = "");

/// The first `count` samples, or all when there are fewer.
SplitData::Samples first_samples(SplitData::Samples data, std::int64_t count);
/// The first `count` images, or all when there are fewer, as a data set that can be changed.
datasets::ImageDataset first_images(const datasets::ImageDataset& data, std::int64_t count);

/// Puts a network into training or evaluation mode and back. Not copied: the mode is given back once.
class ModeScope {
 public:
  /// Sets the mode that the destructor takes back; the network must outlive the scope.
  ModeScope(nn::Module& net, bool training) : net_(net), before_(net.training()) { net.train(training); }
  ~ModeScope() { net_.train(before_); }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  nn::Module& net_;
  bool before_;
};

/// Whether no element is NaN or infinite. Costs one pass over memory.
bool all_finite(std::span<const Real> values);
/// Throws Diverged, naming the parameter, when a gradient is not finite.
void expect_finite_gradients(const std::vector<std::pair<std::string, Parameter*>>& parameters);
/// The first place where numbers are not finite: "the field NAME" of the batch, "the output of NAME" for the first such
/// module in order of execution, or "the loss". Calls `run`, which runs the network on the batch in its present mode,
/// once and without recording gradients.
std::string first_not_finite(nn::Module& net, const NamedTensors& batch, const std::function<void()>& run);

/// The tensors of a network file, and the file of a state dict, float whatever Real is, with the entries of
/// network_file.h as `metadata`.
nn::StateDict state_in(const TensorFile& file);
TensorFile file_of(const nn::StateDict& state, const std::map<std::string, std::string>& metadata);
/// Writes file_of() a network. Throws Error when it cannot be written.
void save_network(const std::filesystem::path& path, const nn::StateDict& state,
                  const std::map<std::string, std::string>& metadata);
/// Key of the metadata's entry with the config_digest() of the training that a network came from.
inline constexpr const char* kTrainingKey = "training_sha256";
/// Throws Error unless save_network() may write at `path` later: nothing is there, or a network whose kTrainingKey is
/// `training`. Called before the first step.
void check_replaceable(const std::filesystem::path& path, const std::string& training);

/// Fills the network from a file and returns the file's metadata. Throws Error when file and network do not fit.
/// Trained resolutions of activations may be missing, and keep their values then, or be too many; entries of weight
/// projections are passed over.
std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net);

}  // namespace coarsegrad::experiments
