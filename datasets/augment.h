#pragma once
// Augmentation and normalisation of images.
#include <cstdint>
#include <span>
#include <vector>

#include "core/compute/random.h"
#include "datasets/dataset.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// Random changes of a training image, applied in this order; none by default. What comes in from outside the
/// image, and what is cut out, is 0 after normalisation: the mean colour; of codes, the code 0.
struct Augmentation {
  /// The image is padded by so many pixels on each side and a crop of the original size taken, every position
  /// equally likely. Source: He, Zhang, Ren, Sun (arXiv 1512.03385), section 4.2, with pad 4.
  std::int64_t pad = 0;
  bool flip = false;  ///< mirrored left to right with probability 1/2
  /// With `flip`: drawn for the first epoch, then the other way round in each: two epochs in a row see both sides of every
  /// image. Source: Jordan (arXiv 2404.00498).
  bool flip_in_turn = false;
  /// Side of a square that is erased, its centre equally likely at every pixel, what lies outside the image
  /// ignored; 0: none. Source: DeVries, Taylor (arXiv 1708.04552), with 16 on CIFAR-10 and 8 on CIFAR-100.
  std::int64_t cutout = 0;

  /// Whether any of the changes is on.
  bool changes() const { return pad > 0 || flip || cutout > 0; }
};

/// Pad 4, random crop and flip: what the CIFAR results of the papers are trained with.
inline constexpr Augmentation kCropAndFlip{.pad = 4, .flip = true};

/// What is done to one image in one epoch. Lengths are pixels.
struct Placement {
  std::int64_t top = 0,   ///< row of the image where the crop starts, from -pad to pad
      left = 0;           ///< column where it starts, from -pad to pad
  bool mirrored = false;  ///< left to right, after cropping
  std::int64_t row = 0,   ///< of the crop: the centre of what is cut out
      column = 0;         ///< of the crop: the centre of what is cut out
};

/// From the bytes of an image to what a network sees: augmentation and normalisation in one pass. What happens to an
/// image depends on (seed, epoch, index of the image in the data set) only.
class ImageTransform {
 public:
  /// For images of this shape (H,W,C). Throws Error unless 0 <= pad < min(H, W), 0 <= cutout <= 2 max(H, W)
  /// and the normalisation is one of C channels (Normalisation::validate).
  ImageTransform(const Shape& image, const Normalisation& normalisation, const Augmentation& augmentation,
                 std::uint64_t seed);

  /// What happens to image `index` of the data set in `epoch`, both 0 or more.
  Placement placement(std::int64_t epoch, std::int64_t index) const;
  /// Writes the image (H,W,C), placed, and normalised or, as std::int8_t, in codes (datasets/pixel_codes.h). `pixels` and
  /// `out` have H * W * C elements.
  template <class T>
  void apply(std::span<const std::uint8_t> pixels, const Placement& placement, T* out) const;

 private:
  template <class T>
  void write_row(const std::uint8_t* row, const Placement& placement, T* out) const;
  template <class T>
  void cut_out(const Placement& placement, T* out) const;
  template <class T>
  const T* table() const;

  std::int64_t height_, width_, channels_;
  Augmentation augmentation_;
  Rng rng_;
  std::vector<Real> values_;        // [channel][byte]: the normalised value
  std::vector<std::int8_t> codes_;  // [channel][byte]: the code
};

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
