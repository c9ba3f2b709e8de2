#pragma once
// The metadata of a network's file, by which it can be used without anything else: how the network is made and
// deployed, which images were held out from it, what it reached and where that was measured. Each entry is a text in
// the metadata of the tensor file:
//   settings       JSON, the flags of `train` that describe network, activations and weights, all resolved; the flags
//                  of version 0.1 are read, too
//   split          JSON, the split of its training images
//   test_accuracy  share of the test images that it gets right, with `kernels` and `cpu`, the kernel table
//                  and the processor that it was measured with
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "experiments/support/tensor_file.h"
#include "experiments/training/method_settings.h"

namespace coarsegrad::experiments {

/// How a network is made and deployed. How it was trained is the business of logs.
struct NetworkSettings {
  NetSettings net = {};               ///< its architecture
  quant::Method method = {};          ///< its weights, activations and layers; the rest belongs to the training
  int classes = 10;                   ///< 1 to 256
  std::string pixels = "normalised";  ///< what it sees of its images: DataSettings::pixels
};
/// The settings in one line, "resnet20; weights exact, 1 bit; activations uniform, 4 bits; layers last: weights=float".
std::string words(const NetworkSettings& s);

/// Texts by key, as TensorFile::metadata.
using Metadata = std::map<std::string, std::string>;
/// The entries `settings` and `split`.
Metadata metadata_of(const NetworkSettings& s, const Split& split);
/// The entries of a network whose training images are not known.
Metadata metadata_of(const NetworkSettings& s);
/// The entries of a share of right test images, measured by this process.
Metadata measured(double test_accuracy);

/// Reads an entry of a file's metadata, `settings` or `split`; nothing where the file has none. Throws Error, which
/// begins with the file's name, for an entry that is malformed or that this program does not understand.
std::optional<NetworkSettings> settings_in(const TensorFile& file, const std::filesystem::path& path);
std::optional<Split> split_in(const TensorFile& file, const std::filesystem::path& path);

/// The network in a file: what its tensors are and what it says of itself. In a checkpoint of `train` that is the
/// network of the best epoch so far, the one that FILE.best.safetensors will hold if no later one is better. Throws
/// Error, which begins with the file's name, as read_tensor_file() and read_checkpoint() do, and for a checkpoint in
/// which no network is: before the first epoch has ended, and in a stage before the last one.
TensorFile read_network_file(const std::filesystem::path& path);

/// settings_in() of a file that must have them. Throws Error, which names the tool that adds them, when it has none.
NetworkSettings expect_settings_in(const TensorFile& file, const std::filesystem::path& path);

/// Takes care that a training with the images of `split`, which starts from the network in a file, is judged
/// by held-out images that this network has not seen. Throws UsageError, which names both splits, when the
/// file says that others of the same data set were held out. Where the file does not say it, a line on
/// stdout says that the held-out accuracy is not independent, and so does `split` from then on.
void go_on_with(const std::filesystem::path& path, Split& split);

/// A data set without images, whose image and classes are those of a network with these settings: what deployed() and
/// network_maker() need of one where none is at hand.
datasets::ImageDataset images_for(const NetworkSettings& s);

/// A network as it is deployed: its weights are the projections of the float copies in the file.
struct DeployedNetwork {
  std::unique_ptr<nn::Module> net;          ///< in evaluation mode, the weights deployed
  std::unique_ptr<quant::WeightRule> rule;  ///< null for float weights
};
/// Deploys the network of a file for the fields "image" and "label" of `data`. Throws Error when settings, tensors and
/// images do not fit together.
DeployedNetwork deployed(const TensorFile& file, const std::filesystem::path& path, const NetworkSettings& s,
                         const datasets::Dataset& data);

}  // namespace coarsegrad::experiments
