#pragma once
// From channels last, as images and weights lie here, to channels first, as they lie in ONNX: the one place that knows
// it. A sample of three axes is an image; all other values lie alike on both sides.
#include <cstdint>
#include <vector>

#include "core/base/shape.h"

namespace coarsegrad::onnx {

/// Whether the channels of such a sample are moved: whether it is an image.
inline bool is_image(const Shape& sample) { return sample.rank() == 3; }

/// (H, W, C) -> (C, H, W).
inline Shape channels_first(const Shape& sample) {
  return is_image(sample) ? Shape{sample[2], sample[0], sample[1]} : sample;
}

/// Shape of one number for each channel, fit to be combined with values of such samples: (C, 1, 1), or (C).
inline Shape channel_shape(const Shape& sample) {
  return is_image(sample) ? Shape{sample[2], 1, 1} : Shape{sample[-1]};
}

/// Order of the axes of a batch by which Transpose moves the channels of images to the end, and to the front.
inline const std::vector<std::int64_t> kToChannelsLast{0, 2, 3, 1}, kToChannelsFirst{0, 3, 1, 2};

/// (out, kh, kw, in) -> (out, in, kh, kw); a matrix stays as it is.
inline Shape weight_shape(const Shape& s) { return s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s; }

/// The numbers of a weight in that order.
template <class T>
std::vector<T> weight_order(const Shape& s, const std::vector<T>& numbers) {
  if (s.rank() != 4) return numbers;
  const std::int64_t pixels = s[1] * s[2], in = s[3];
  std::vector<T> moved;
  moved.reserve(numbers.size());
  for (std::int64_t o = 0; o < s[0]; ++o)
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t p = 0; p < pixels; ++p)
        moved.push_back(numbers[static_cast<std::size_t>((o * pixels + p) * in + i)]);
  return moved;
}

}  // namespace coarsegrad::onnx
