#pragma once
// Which taps of a kernel meet the image. Outputs that see the same taps form a band; a band of rows and a
// band of columns make a rectangle of output pixels that one loop computes, without a test and without
// products with padding.
#include <algorithm>
#include <cstdint>
#include <vector>

namespace coarsegrad {

/// Along one axis: output i of [begin, end) meets the taps [first_tap, last_tap), maybe none.
struct Band {
  std::int64_t begin,  ///< first output
      end,             ///< one behind the last output
      first_tap,       ///< first tap that meets the image
      last_tap;        ///< one behind the last tap that does
  /// How many taps meet the image.
  std::int64_t taps() const { return last_tap - first_tap; }
};

/// The bands of one axis, in order: output i reads input i * stride + origin + t with tap t; inputs outside [0, inputs)
/// are padding.
inline std::vector<Band> bands(std::int64_t outputs, std::int64_t stride, std::int64_t origin, std::int64_t taps,
                               std::int64_t inputs) {
  std::vector<Band> found;
  for (std::int64_t i = 0; i < outputs; ++i) {
    const std::int64_t at = i * stride + origin;
    const std::int64_t first = std::clamp(-at, std::int64_t{0}, taps);
    const std::int64_t last = std::clamp(inputs - at, first, taps);
    if (!found.empty() && found.back().first_tap == first && found.back().last_tap == last)
      found.back().end = i + 1;
    else
      found.push_back({i, i + 1, first, last});
  }
  return found;
}

/// One band for each tap: the outputs that it meets, whatever the others do. Empty where it only meets padding.
inline std::vector<Band> bands_of_taps(std::int64_t outputs, std::int64_t stride, std::int64_t origin,
                                       std::int64_t taps, std::int64_t inputs) {
  std::vector<Band> found;
  for (std::int64_t t = 0; t < taps; ++t) {
    Band band{0, 0, t, t + 1};
    for (std::int64_t i = 0; i < outputs; ++i) {
      const std::int64_t at = i * stride + origin + t;
      if (at < 0) band.begin = i + 1;
      if (at < inputs) band.end = i + 1;
    }
    band.end = std::max(band.begin, band.end);
    found.push_back(band);
  }
  return found;
}

}  // namespace coarsegrad
