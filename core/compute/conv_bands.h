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

/// Backward data, along one axis: the pixels i of x with (i + pad) % stride == residue meet the taps residue, residue +
/// stride, ... alone, and the gradient with respect to them is a correlation of the output's gradient with these taps,
/// the last one first.
struct Residue {
  std::int64_t first_pixel,  ///< the first of these pixels; the others follow at distances of the stride
      pixels,                ///< how many there are
      taps,                  ///< taps that they meet
      origin;                ///< the output that the first of the reversed taps meets at the first pixel

  /// For an axis of `inputs` pixels and a kernel of `kernel_size` taps.
  Residue(std::int64_t residue, std::int64_t inputs, std::int64_t kernel_size, std::int64_t stride, std::int64_t pad) {
    first_pixel = ((residue - pad) % stride + stride) % stride;
    pixels = first_pixel < inputs ? (inputs - first_pixel + stride - 1) / stride : 0;
    taps = residue < kernel_size ? (kernel_size - residue + stride - 1) / stride : 0;
    origin = (first_pixel + pad - residue) / stride - (taps - 1);  // the last tap comes first: outputs ascend
  }
};

}  // namespace coarsegrad
