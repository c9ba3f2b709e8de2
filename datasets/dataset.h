#pragma once
// Dataset: samples by number, each a few tensors by name, for any kind of task. In memory (datasets/images.h), from
// files (datasets/cifar.h), or a user's own: derive from Dataset, and the loader (loader.h) serves batches of it.
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
  std::vector<double> mean, deviation;

  double value(int byte, std::size_t channel) const { return (byte / 255. - mean[channel]) / deviation[channel]; }
  /// Throws Error unless there are a mean and a positive deviation for each of `channels` channels, and all
  /// values are finite as a Real. `name` begins the message.
  void validate(std::int64_t channels, const std::string& name) const;
};

/// What every sample has under one name.
struct Field {
  std::string name;
  Shape shape;  ///< of one sample; a batch has one axis more, in front
  ElementType type = kRealType;
  /// Class indices run from 0 to classes - 1; 0 for what is no class.
  int classes = 0;
  /// For bytes of shape (H, W, C): batches hold them augmented and normalised, as Real. Empty: as they are.
  Normalisation normalisation = {};

  bool is_image() const { return !normalisation.mean.empty(); }
};

struct Description {
  std::string name;  ///< of the data set, as messages call it
  std::vector<Field> fields;
  /// Throws Error, listing the fields, if there is none of this name.
  const Field& field(std::string_view name) const;
};

/// One example: a tensor for each field.
using Sample = NamedTensors;

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual Description description() const = 0;
  virtual std::int64_t size() const = 0;
  /// Sample number i, from 0 to size() - 1, the same whenever it is asked for. May be called from several threads at
  /// once. Throws Error for another number, or where it cannot be read.
  virtual Sample sample(std::int64_t i) const = 0;
  /// Throws Error unless the description is one of samples that can be served, and there is a sample.
  virtual void validate() const;
};

/// Those samples of another data set that have these numbers, in this order.
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

/// The numbers of samples that a split of `size` sets aside, ascending, chosen uniformly at random by `seed` alone.
/// Throws Error unless 0 <= count <= size.
std::vector<std::int64_t> held_out_indices(std::int64_t size, std::int64_t count, std::uint64_t seed);
/// The others, ascending.
std::vector<std::int64_t> kept_indices(std::int64_t size, std::int64_t count, std::uint64_t seed);

/// What the files of a published data set must be: the published ones, byte for byte, or any of the same layout,
/// with labels in range and any number of images. Results on the latter do not compare with published ones.
enum class Verify { checksums, layout };
/// What an error says about files that are not the published ones.
inline constexpr std::string_view kReadByLayout = "--verify layout (Verify::layout) reads other files of this layout";
/// "checksums" or "layout". Throws UsageError for anything else.
Verify verify(std::string_view name);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
