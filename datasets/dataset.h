#pragma once
// The interface of data sets.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/named_tensors.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// What turns a byte b of channel c into the number a network sees: (b / 255 - mean[c]) / deviation[c].
struct Normalisation {
  std::vector<double> mean,  ///< of each channel, of bytes scaled to [0, 1]
      deviation;             ///< of each channel, positive

  /// The number for a byte, 0 to 255, of one channel.
  double value(int byte, std::size_t channel) const { return (byte / 255. - mean[channel]) / deviation[channel]; }
  /// Throws Error unless there are a mean and a positive deviation for each of `channels` channels, and all
  /// values are finite as a Real. `name` begins the message.
  void validate(std::int64_t channels, const std::string& name) const;
};

/// What every sample has under one name.
struct Field {
  std::string name;              ///< by which samples and batches hold it
  Shape shape;                   ///< of one sample; a batch has one axis more, in front
  ElementType type = kRealType;  ///< of a sample's elements
  /// Class indices run from 0 to classes - 1; 0 for what is no class.
  int classes = 0;
  /// For bytes of shape (H, W, C): batches hold them augmented and normalised, as Real. Empty: as they are.
  Normalisation normalisation = {};
  /// Of an image: batches hold it as codes (datasets/pixel_codes.h) in place of normalised.
  bool as_codes = false;

  /// Whether batches hold it augmented and normalised.
  bool is_image() const { return !normalisation.mean.empty(); }
};

/// What the samples of a data set are.
struct Description {
  std::string name;           ///< of the data set, as messages call it
  std::vector<Field> fields;  ///< one or more, with different names
  /// The field of that name. Throws Error, listing the fields, if there is none.
  const Field& field(std::string_view name) const;
};

/// One example: a tensor for each field.
using Sample = NamedTensors;

/// Samples by number, each a few tensors by name, for any kind of task: in memory (datasets/images.h), from files
/// (datasets/cifar.h), or a user's own class derived from this one. The loader (datasets/loader.h) serves batches of
/// it.
class Dataset {
 public:
  virtual ~Dataset() = default;
  /// What every sample holds. The same whenever it is asked for.
  virtual Description description() const = 0;
  /// Number of samples.
  virtual std::int64_t size() const = 0;
  /// Sample number i, from 0 to size() - 1, the same whenever it is asked for. May be called from several threads at
  /// once. Throws Error for another number, or where it cannot be read.
  virtual Sample sample(std::int64_t i) const = 0;
  /// Throws Error unless the description is one of samples that can be served, and there is a sample.
  virtual void validate() const;
};

/// The samples of another data set that have the given numbers, in the given order.
class Subset : public Dataset {
 public:
  /// Throws Error for a number outside [0, size).
  Subset(std::shared_ptr<const Dataset> data, std::vector<std::int64_t> numbers);

  Description description() const override { return data_->description(); }
  std::int64_t size() const override { return static_cast<std::int64_t>(numbers_.size()); }
  Sample sample(std::int64_t i) const override;

 private:
  std::shared_ptr<const Dataset> data_;
  std::vector<std::int64_t> numbers_;
};

/// Numbers of the `count` samples that a split of `size` samples holds out, ascending, chosen uniformly at random by
/// `seed` alone. Throws Error unless 0 <= count <= size.
std::vector<std::int64_t> held_out_indices(std::int64_t size, std::int64_t count, std::uint64_t seed);
/// Numbers of the samples that held_out_indices() leaves, ascending. Throws Error unless 0 <= count <= size.
std::vector<std::int64_t> kept_indices(std::int64_t size, std::int64_t count, std::uint64_t seed);

/// What the files of a published data set must be: the published ones, byte for byte, or any of the same layout,
/// with labels in range and any number of images. Results on the latter do not compare with published ones.
enum class Verify { checksums, layout };
/// What an error says about files that are not the published ones.
inline constexpr std::string_view kReadByLayout = "--verify layout (Verify::layout) reads other files of this layout";
/// By its name, "checksums" or "layout". Throws UsageError for anything else.
Verify verify(std::string_view name);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
