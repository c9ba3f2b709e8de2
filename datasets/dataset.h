#pragma once
// Dataset: labelled images as they lie in the files. Bytes stay bytes until a batch is served (loader.h).
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/shape.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// What turns a byte b of channel c into the number a network sees: (b / 255 - mean[c]) / deviation[c].
struct Normalisation {
  std::vector<double> mean, deviation;

  double value(int byte, std::size_t channel) const {
    return (byte / 255. - mean[channel]) / deviation[channel];
  }
  /// Throws Error unless there are a mean and a positive deviation for each of `channels` channels, and all
  /// values are finite as a Real. `name` begins the message.
  void validate(std::int64_t channels, const std::string& name) const;
};

struct Dataset {
  std::string name;
  Shape image;                       ///< (H, W, C) of every image
  int classes = 0;                   ///< labels are 0 to classes - 1; at most 256
  Normalisation normalisation;       ///< one mean and one deviation per channel
  std::vector<std::uint8_t> pixels;  ///< (N, H, W, C), 0 to 255
  std::vector<std::uint8_t> labels;  ///< (N)

  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
  /// The bytes (H, W, C) of image i. Throws Error unless 0 <= i < size() and the bytes are there.
  std::span<const std::uint8_t> pixels_of(std::int64_t i) const;
  /// Throws Error unless sizes, label range and normalisation fit together and there is at least one image.
  void validate() const;
};

/// A data set as it is published: what one may learn from and what one is judged by.
struct TrainTest {
  Dataset train, test;
};

/// What the files of a published data set must be: the published ones, byte for byte, or any of the same layout,
/// with labels in range and any number of images. Results on the latter do not compare with published ones.
enum class Verify { checksums, layout };
/// What an error says about files that are not the published ones.
inline constexpr std::string_view kReadByLayout =
    "--verify layout (Verify::layout) reads other files of this layout";
/// "checksums" or "layout". Throws UsageError for anything else.
Verify verify(std::string_view name);

/// The images with these indices, in this order. Throws Error for an index outside [0, size).
Dataset subset(const Dataset& data, std::span<const std::int64_t> indices);

/// A training set cut in two, each part in the order of the original.
struct HeldOut {
  Dataset rest, held_out;
};
/// The indices that hold_out() sets aside, ascending. Throws Error unless 0 <= count <= size.
std::vector<std::int64_t> held_out_indices(std::int64_t size, std::int64_t count, std::uint64_t seed);
/// Sets `count` images aside, chosen uniformly at random by `seed` alone. Throws Error unless 0 < count <
/// data.size().
HeldOut hold_out(const Dataset& data, std::int64_t count, std::uint64_t seed);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
