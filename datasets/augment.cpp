#include "datasets/augment.h"

#include <algorithm>
#include <type_traits>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {
namespace {

std::vector<Real> value_table(const Normalisation& normalisation, std::int64_t channels) {
  normalisation.validate(channels, "augmentation");
  std::vector<Real> table;
  for (std::size_t c = 0; c < normalisation.mean.size(); ++c)
    for (int byte = 0; byte < 256; ++byte) table.push_back(static_cast<Real>(normalisation.value(byte, c)));
  return table;
}

std::vector<std::int8_t> code_table(std::int64_t channels) {
  std::vector<std::int8_t> table;
  for (std::int64_t i = 0; i < channels * 256; ++i) table.push_back(static_cast<std::int8_t>(i % 256 - 128));
  return table;
}

/// Looks `count` pixels up, the first at `in`, the next ones `step` (1 or -1) pixels further.
template <int kStep, class T>
void look_up(const std::uint8_t* in, std::int64_t count, std::int64_t channels, const T* table, T* out) {
  if (channels == 3) {  // unrolled: twice as fast
    for (std::int64_t i = 0; i < count; ++i, in += 3 * kStep, out += 3) {
      out[0] = table[in[0]];
      out[1] = table[256 + in[1]];
      out[2] = table[512 + in[2]];
    }
    return;
  }
  for (std::int64_t i = 0; i < count; ++i, in += channels * kStep, out += channels)
    for (std::int64_t c = 0; c < channels; ++c) out[c] = table[c * 256 + in[c]];
}

}  // namespace

ImageTransform::ImageTransform(const Shape& image, const Normalisation& normalisation, const Augmentation& augmentation,
                               std::uint64_t seed)
    : height_(image[0]),
      width_(image[1]),
      channels_(image[2]),
      augmentation_(augmentation),
      rng_(Rng(seed).split("augmentation")),
      values_(value_table(normalisation, channels_)),
      codes_(code_table(channels_)) {
  const std::int64_t shortest = std::min(height_, width_), longest = std::max(height_, width_);
  check(augmentation.pad >= 0 && augmentation.pad < shortest, "augmentation: given pad ", augmentation.pad,
        ", expected 0 to ", shortest - 1, " for images of shape ", image);
  check(augmentation.cutout >= 0 && augmentation.cutout <= 2 * longest, "augmentation: given cutout ",
        augmentation.cutout, ", expected 0 to ", 2 * longest, " for images of shape ", image);
}

Placement ImageTransform::placement(std::int64_t epoch, std::int64_t index) const {
  // A stream for each kind of change: switching one on or off leaves the others as they were.
  const Rng image = rng_.split(static_cast<std::uint64_t>(epoch)).split(static_cast<std::uint64_t>(index));
  const auto below = [](Rng& rng, std::int64_t n) {
    return static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(n)));
  };
  Placement placement;
  if (augmentation_.pad > 0) {
    Rng crop = image.split("crop");
    placement.top = below(crop, 2 * augmentation_.pad + 1) - augmentation_.pad;
    placement.left = below(crop, 2 * augmentation_.pad + 1) - augmentation_.pad;
  }
  if (augmentation_.flip) {
    const bool in_turn = augmentation_.flip_in_turn;
    Rng flip = in_turn ? rng_.split("flip").split(static_cast<std::uint64_t>(index)) : image.split("flip");
    placement.mirrored = (flip.below(2) == 1) != (in_turn && epoch % 2 == 1);
  }
  if (augmentation_.cutout > 0) {
    Rng cutout = image.split("cutout");
    placement.row = below(cutout, height_);
    placement.column = below(cutout, width_);
  }
  return placement;
}

template <class T>
const T* ImageTransform::table() const {
  if constexpr (std::is_same_v<T, Real>)
    return values_.data();
  else
    return codes_.data();
}

template <class T>
void ImageTransform::apply(std::span<const std::uint8_t> pixels, const Placement& placement, T* out) const {
  const std::int64_t length = width_ * channels_;
  for (std::int64_t y = 0; y < height_; ++y) {
    const std::int64_t from = y + placement.top;
    if (from >= 0 && from < height_)
      write_row(pixels.data() + from * length, placement, out + y * length);
    else
      std::fill_n(out + y * length, length, T{0});
  }
  if (augmentation_.cutout > 0) cut_out(placement, out);
}
template void ImageTransform::apply(std::span<const std::uint8_t> pixels, const Placement& placement, Real* out) const;
template void ImageTransform::apply(std::span<const std::uint8_t> pixels, const Placement& placement,
                                    std::int8_t* out) const;

template <class T>
void ImageTransform::write_row(const std::uint8_t* row, const Placement& placement, T* out) const {
  // Pixels first to last of the row are seen; mirrored, those on the left come out on the right.
  const std::int64_t first = std::max<std::int64_t>(0, placement.left);
  const std::int64_t last = std::min(width_, width_ + placement.left) - 1, count = last - first + 1;
  const std::int64_t before = placement.mirrored ? placement.left + width_ - 1 - last : first - placement.left;
  out = std::fill_n(out, before * channels_, T{0});
  if (placement.mirrored)
    look_up<-1>(row + last * channels_, count, channels_, table<T>(), out);
  else
    look_up<1>(row + first * channels_, count, channels_, table<T>(), out);
  std::fill_n(out + count * channels_, (width_ - count - before) * channels_, T{0});
}

template <class T>
void ImageTransform::cut_out(const Placement& placement, T* out) const {
  const std::int64_t side = augmentation_.cutout;
  const auto clipped = [side](std::int64_t centre, std::int64_t extent) {
    const std::int64_t begin = centre - side / 2;
    return std::pair(std::max<std::int64_t>(0, begin), std::min(extent, begin + side));
  };
  const auto [top, bottom] = clipped(placement.row, height_);
  const auto [left, right] = clipped(placement.column, width_);
  for (std::int64_t y = top; y < bottom; ++y)
    std::fill_n(out + (y * width_ + left) * channels_, (right - left) * channels_, T{0});
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
