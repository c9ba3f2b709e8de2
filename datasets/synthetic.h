#pragma once
// Data sets made from a seed, for tests and for first steps without a download.
#include <cstdint>

#include "datasets/images.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// Images of each class scattered around one random image: byte = 127.5 + 32 * (centre + spread * noise),
/// clipped to 0..255, centre and noise standard normal per pixel and channel. Labels are random. `spread` 0.5
/// is easy, 4 is hard. Two calls with one seed share the centres for any `count`, and `part` (0: train, 1:
/// test) selects the noise. Throws Error unless count >= 1, image is (H,W,C), 1 <= classes and spread >= 0.
ImageDataset gaussian_classes(std::int64_t count, const Shape& image, int classes, double spread, std::uint64_t seed,
                              std::uint64_t part = 0);

/// Digits of shape (28,28,1), drawn with a pen along the strokes of 0 to 9, each rotated, slanted, scaled,
/// shifted and thickened at random, with the labels and the normalisation of MNIST. Throws Error unless count >= 1.
ImageDataset drawn_digits(std::int64_t count, std::uint64_t seed, std::uint64_t part = 0);

/// Ten kinds of coloured shapes (disc, ring, square, frame, triangle, plus, bar, two bars, crescent, T) of
/// shape (32,32,3), each turned, scaled and shifted at random on a shaded, noisy ground, with the labels, the
/// layout and the normalisation of CIFAR-10. The colour of a shape leans to one of its class, by too little
/// to tell the classes apart. Throws Error unless count >= 1.
ImageDataset drawn_shapes(std::int64_t count, std::uint64_t seed, std::uint64_t part = 0);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
