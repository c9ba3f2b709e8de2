#pragma once
// Labelled images in memory.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// Labelled images in memory. Samples have the fields "image", bytes (H, W, C), and "label", an int32 scalar. Bytes
/// stay bytes until a batch is served (datasets/loader.h).
struct ImageDataset : Dataset {
  std::string name;                  ///< as messages call it
  Shape image;                       ///< (H, W, C) of every image
  int classes = 0;                   ///< labels are 0 to classes - 1
  Normalisation normalisation;       ///< one mean and one deviation per channel
  std::vector<std::uint8_t> pixels;  ///< (N, H, W, C), 0 to 255
  std::vector<std::int32_t> labels;  ///< (N)

  ImageDataset() = default;
  /// Checks nothing: see validate().
  ImageDataset(std::string name, const Shape& image, int classes, Normalisation normalisation,
               std::vector<std::uint8_t> pixels = {}, std::vector<std::int32_t> labels = {});

  Description description() const override;
  std::int64_t size() const override { return static_cast<std::int64_t>(labels.size()); }
  Sample sample(std::int64_t i) const override;
  /// Throws Error unless sizes, label range and normalisation fit together and there is at least one image.
  void validate() const override;

  /// The bytes (H, W, C) of image i. Throws Error unless 0 <= i < size() and the bytes are there.
  std::span<const std::uint8_t> pixels_of(std::int64_t i) const;
};

/// How a data set of labelled images describes itself.
Description description_of_images(std::string name, const Shape& image, int classes, Normalisation normalisation);

/// A data set as it is published.
struct TrainTest {
  ImageDataset train,  ///< what one may learn from
      test;            ///< what one is judged by
};

/// The images with these indices, in this order. Throws Error for an index outside [0, size).
ImageDataset subset(const ImageDataset& data, std::span<const std::int64_t> indices);

/// A training set cut in two, each part in the order of the original.
struct HeldOut {
  ImageDataset rest,  ///< what remains to learn from
      held_out;       ///< what is set aside
};
/// Sets `count` images aside, those of held_out_indices(). Throws Error unless 0 < count < data.size().
HeldOut hold_out(const ImageDataset& data, std::int64_t count, std::uint64_t seed);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
