#include "datasets/dataset.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/base/random.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

std::span<const std::uint8_t> Dataset::pixels_of(std::int64_t i) const {
  const auto bytes = static_cast<std::size_t>(image.numel());
  check(i >= 0 && i < size() && (static_cast<std::size_t>(i) + 1) * bytes <= pixels.size(), name,
        ": given image ", i, ", expected one of ", size());
  return std::span(pixels).subspan(static_cast<std::size_t>(i) * bytes, bytes);
}

void Dataset::validate() const {
  check(size() > 0, name, ": the data set is empty");
  check(image.rank() == 3 && image.numel() > 0, name, ": given images of shape ", image,
        ", expected (H,W,C)");
  check(static_cast<std::int64_t>(pixels.size()) == size() * image.numel(), name, ": given ", pixels.size(),
        " bytes for ", size(), " images of shape ", image);
  check(classes >= 1 && classes <= 256, name, ": given ", classes, " classes, expected 1 to 256");
  const auto wrong = std::find_if(labels.begin(), labels.end(), [&](std::uint8_t l) { return l >= classes; });
  check(wrong == labels.end(), name, ": found label ", wrong == labels.end() ? 0 : int{*wrong}, " at image ",
        wrong - labels.begin(), ", expected 0 to ", classes - 1);
  const auto channels = static_cast<std::size_t>(image[-1]);
  check(normalisation.mean.size() == channels && normalisation.deviation.size() == channels, name, ": given ",
        normalisation.mean.size(), " means and ", normalisation.deviation.size(), " deviations for ",
        channels, " channels");
  for (const double deviation : normalisation.deviation)
    check(deviation > 0, name, ": given the deviation ", deviation, ", expected a positive one");
}

Dataset subset(const Dataset& data, std::span<const std::int64_t> indices) {
  Dataset part{data.name, data.image, data.classes, data.normalisation, {}, {}};
  part.pixels.reserve(indices.size() * static_cast<std::size_t>(data.image.numel()));
  part.labels.reserve(indices.size());
  for (const std::int64_t i : indices) {
    const auto pixels = data.pixels_of(i);
    part.pixels.insert(part.pixels.end(), pixels.begin(), pixels.end());
    part.labels.push_back(data.labels[static_cast<std::size_t>(i)]);
  }
  return part;
}

Verify verify(std::string_view name) {
  check_usage(name == "checksums" || name == "layout", "verify: given '", name,
              "', expected checksums or layout");
  return name == "layout" ? Verify::layout : Verify::checksums;
}

HeldOut hold_out(const Dataset& data, std::int64_t count, std::uint64_t seed) {
  check(count > 0 && count < data.size(), data.name, ": given ", count, " images to hold out, expected 1 to ",
        data.size() - 1);
  std::vector<std::int64_t> order(static_cast<std::size_t>(data.size()));
  std::iota(order.begin(), order.end(), 0);
  Rng(seed).split("hold out").shuffle(std::span(order));
  const auto cut = order.begin() + count;
  std::sort(order.begin(), cut);
  std::sort(cut, order.end());
  return {subset(data, {cut, order.end()}), subset(data, {order.begin(), cut})};
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
