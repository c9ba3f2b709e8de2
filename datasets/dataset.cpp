#include "datasets/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

std::span<const std::uint8_t> Dataset::pixels_of(std::int64_t i) const {
  const auto bytes = static_cast<std::size_t>(image.numel());
  check(i >= 0 && i < size() && (static_cast<std::size_t>(i) + 1) * bytes <= pixels.size(), name,
        ": given image ", i, ", expected one of ", size());
  return std::span(pixels).subspan(static_cast<std::size_t>(i) * bytes, bytes);
}

void Normalisation::validate(std::int64_t channels, const std::string& name) const {
  const auto count = static_cast<std::size_t>(channels);
  check(mean.size() == count && deviation.size() == count, name, ": given ", mean.size(), " means and ",
        deviation.size(), " deviations for ", channels, " channels");
  for (std::size_t c = 0; c < count; ++c)
    check(deviation[c] > 0 && in_range(std::abs(value(0, c)), 0) && in_range(std::abs(value(255, c)), 0),
          name, ": given the deviation ", deviation[c], " and the mean ", mean[c],
          ", expected a positive one, a finite one, and finite quotients");
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
  normalisation.validate(image[-1], name);
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

namespace {

// All indices: those held out, ascending, then the others, ascending.
std::vector<std::int64_t> cut_indices(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  Rng(seed).split("hold out").shuffle(std::span(order));
  std::sort(order.begin(), order.begin() + count);
  std::sort(order.begin() + count, order.end());
  return order;
}

}  // namespace

std::vector<std::int64_t> held_out_indices(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  check(count >= 0 && count <= size, "held-out indices: given ", count, " of ", size,
        " images, expected 0 or more, and no more than there are");
  std::vector<std::int64_t> order = cut_indices(size, count, seed);
  order.resize(static_cast<std::size_t>(count));
  return order;
}

HeldOut hold_out(const Dataset& data, std::int64_t count, std::uint64_t seed) {
  check(count > 0 && count < data.size(), data.name, ": given ", count, " images to hold out, expected 1 to ",
        data.size() - 1);
  const std::vector<std::int64_t> order = cut_indices(data.size(), count, seed);
  const auto cut = order.begin() + count;
  return {subset(data, {cut, order.end()}), subset(data, {order.begin(), cut})};
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
