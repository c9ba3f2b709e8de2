#include "datasets/images.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

Description description_of_images(std::string name, const Shape& image, int classes, Normalisation normalisation) {
  return {std::move(name),
          {{.name = "image", .shape = image, .type = ElementType::uint8, .normalisation = std::move(normalisation)},
           {.name = "label", .shape = {}, .type = ElementType::int32, .classes = classes}}};
}

ImageDataset::ImageDataset(std::string name_, const Shape& image_, int classes_, Normalisation normalisation_,
                           std::vector<std::uint8_t> pixels_, std::vector<std::int32_t> labels_)
    : name(std::move(name_)),
      image(image_),
      classes(classes_),
      normalisation(std::move(normalisation_)),
      pixels(std::move(pixels_)),
      labels(std::move(labels_)) {}

Description ImageDataset::description() const { return description_of_images(name, image, classes, normalisation); }

Sample ImageDataset::sample(std::int64_t i) const {
  Sample s;
  s.add("image", Tensor::of<std::uint8_t>(image, pixels_of(i)));
  s.add("label", Tensor::of<std::int32_t>({}, {labels[static_cast<std::size_t>(i)]}));
  return s;
}

std::span<const std::uint8_t> ImageDataset::pixels_of(std::int64_t i) const {
  const auto bytes = static_cast<std::size_t>(image.numel());
  check(i >= 0 && i < size() && (static_cast<std::size_t>(i) + 1) * bytes <= pixels.size(), name, ": given image ", i,
        ", expected one of ", size());
  return std::span(pixels).subspan(static_cast<std::size_t>(i) * bytes, bytes);
}

void ImageDataset::validate() const {
  check(size() > 0, name, ": the data set is empty");
  check(image.rank() == 3 && image.numel() > 0, name, ": given images of shape ", image, ", expected (H,W,C)");
  check(static_cast<std::int64_t>(pixels.size()) == size() * image.numel(), name, ": given ", pixels.size(),
        " bytes for ", size(), " images of shape ", image);
  check(classes >= 1, name, ": given ", classes, " classes, expected 1 or more");
  const auto wrong = std::ranges::find_if(labels, [&](std::int32_t l) { return l < 0 || l >= classes; });
  check(wrong == labels.end(), name, ": found label ", wrong == labels.end() ? 0 : *wrong, " at image ",
        wrong - labels.begin(), ", expected 0 to ", classes - 1);
  normalisation.validate(image[-1], name);
}

ImageDataset subset(const ImageDataset& data, std::span<const std::int64_t> indices) {
  ImageDataset part(data.name, data.image, data.classes, data.normalisation);
  part.pixels.reserve(indices.size() * static_cast<std::size_t>(data.image.numel()));
  part.labels.reserve(indices.size());
  for (const std::int64_t i : indices) {
    const auto pixels = data.pixels_of(i);
    part.pixels.insert(part.pixels.end(), pixels.begin(), pixels.end());
    part.labels.push_back(data.labels[static_cast<std::size_t>(i)]);
  }
  return part;
}

HeldOut hold_out(const ImageDataset& data, std::int64_t count, std::uint64_t seed) {
  check(count > 0 && count < data.size(), data.name, ": given ", count, " images to hold out, expected 1 to ",
        data.size() - 1);
  return {subset(data, kept_indices(data.size(), count, seed)),
          subset(data, held_out_indices(data.size(), count, seed))};
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
