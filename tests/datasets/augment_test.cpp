#include "datasets/augment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <set>
#include <tuple>
#include <vector>

#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::datasets;

namespace {

Normalisation normalisation_of(std::int64_t channels) {
  Normalisation n;
  for (std::int64_t c = 0; c < channels; ++c) {
    n.mean.push_back(0.4 + 0.02 * static_cast<double>(c));
    n.deviation.push_back(0.2 + 0.05 * static_cast<double>(c));
  }
  return n;
}

/// What ImageTransform::apply promises, one element after another.
std::vector<Real> reference(const Shape& image, const Augmentation& a, const Placement& p,
                            const std::vector<std::uint8_t>& pixels) {
  const Normalisation n = normalisation_of(image[2]);
  std::vector<Real> out;
  for (std::int64_t y = 0; y < image[0]; ++y)
    for (std::int64_t x = 0; x < image[1]; ++x)
      for (std::int64_t c = 0; c < image[2]; ++c) {
        const std::int64_t row = y + p.top, column = (p.mirrored ? image[1] - 1 - x : x) + p.left;
        const std::int64_t dy = y - p.row + a.cutout / 2, dx = x - p.column + a.cutout / 2;
        const bool inside = row >= 0 && row < image[0] && column >= 0 && column < image[1];
        const bool cut = dy >= 0 && dy < a.cutout && dx >= 0 && dx < a.cutout;
        const auto channel = static_cast<std::size_t>(c);
        const auto at = static_cast<std::size_t>((row * image[1] + column) * image[2] + c);
        out.push_back(inside && !cut ? static_cast<Real>((pixels[at] / 255. - n.mean[channel]) / n.deviation[channel])
                                     : Real(0));
      }
  return out;
}

/// The chi-squared statistic of `draws` values of a draw that should be uniform over `cells`.
double chi_squared(std::size_t cells, int draws, const std::function<std::size_t(int)>& cell) {
  std::vector<int> count(cells);
  for (int i = 0; i < draws; ++i) ++count[cell(i)];
  const double expected = draws / static_cast<double>(cells);
  double sum = 0;
  for (const int n : count) sum += (n - expected) * (n - expected) / expected;
  return sum;
}

std::size_t cell_of(const Placement& p) {
  return static_cast<std::size_t>((p.top + 4) * 18 + (p.left + 4) * 2 + (p.mirrored ? 1 : 0));
}

const Shape kImage{32, 32, 3};
// Above these once in a thousand: 161 degrees of freedom (81 positions, two sides), 19, and 3.
constexpr double kBound161 = 221.0, kBound19 = 43.8, kBound3 = 16.3;

auto key(const Placement& p) { return std::tuple(p.top, p.left, p.mirrored, p.row, p.column); }

}  // namespace

TEST_CASE("augment: every crop, mirrored or not, with and without a hole, is what its definition says") {
  for (const Shape& image : {Shape{5, 7, 1}, Shape{6, 5, 2}, Shape{5, 6, 3}, Shape{4, 4, 4}}) {
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(image.numel()));
    Rng rng(3);
    for (auto& byte : pixels) byte = static_cast<std::uint8_t>(rng.below(256));
    for (const std::int64_t cutout : {0, 1, 3, 4, 8}) {
      const Augmentation a{.pad = 3, .flip = true, .cutout = cutout};
      const ImageTransform transform(image, normalisation_of(image[2]), a, 1);
      std::vector<Real> out(pixels.size());
      for (std::int64_t top = -3; top <= 3; ++top)
        for (std::int64_t left = -3; left <= 3; ++left)
          for (const bool mirrored : {false, true}) {
            const Placement p{top, left, mirrored, (top + 3) % image[0], (left + 3) % image[1]};
            std::fill(out.begin(), out.end(), Real(99));
            transform.apply(pixels, p, out.data());
            REQUIRE(out == reference(image, a, p, pixels));
          }
    }
  }
}

TEST_CASE("augment: without options nothing is moved") {
  const ImageTransform transform(kImage, normalisation_of(3), {}, 1);
  for (int i = 0; i < 100; ++i) CHECK(key(transform.placement(i, i)) == key(Placement{}));
}

TEST_CASE("augment: the 81 crops and two sides are equally likely over images and over epochs") {
  const ImageTransform transform(kImage, normalisation_of(3), kCropAndFlip, 5);
  const auto over_images = [&](int i) { return cell_of(transform.placement(3, i)); };
  const auto over_epochs = [&](int i) { return cell_of(transform.placement(i, 7)); };
  CHECK(chi_squared(162, 16200, over_images) < kBound161);
  CHECK(chi_squared(162, 16200, over_epochs) < kBound161);
  const auto spoilt = [&](int i) {  // one position in 81 goes to its neighbour
    Placement p = transform.placement(3, i);
    if (p.top == 4 && p.left == 4) p.left = 3;
    return cell_of(p);
  };
  CHECK(chi_squared(162, 16200, spoilt) > kBound161);
}

TEST_CASE("augment: what happens to an image says nothing about the next image or the next epoch") {
  const ImageTransform transform(kImage, normalisation_of(3), kCropAndFlip, 6);
  const auto side = [&](int epoch, int i) { return transform.placement(epoch, i).mirrored ? 1u : 0u; };
  CHECK(chi_squared(4, 4000, [&](int i) { return 2 * side(0, 2 * i) + side(0, 2 * i + 1); }) < kBound3);
  CHECK(chi_squared(4, 4000, [&](int i) { return 2 * side(0, i) + side(1, i); }) < kBound3);
  CHECK(chi_squared(4, 4000, [&](int i) { return 3 * side(0, i); }) > kBound3);
}

TEST_CASE("augment: the hole is centred at every pixel equally often") {
  const ImageTransform transform({4, 5, 1}, normalisation_of(1), {.cutout = 2}, 7);
  const auto centre = [&](int i) {
    const Placement p = transform.placement(0, i);
    return static_cast<std::size_t>(p.row * 5 + p.column);
  };
  CHECK(chi_squared(20, 4000, centre) < kBound19);
}

TEST_CASE("augment: seed, epoch and index each change it, an option changes only what it is about") {
  const auto placements = [](const Augmentation& a, std::uint64_t seed, std::int64_t epoch) {
    const ImageTransform transform(kImage, normalisation_of(3), a, seed);
    std::vector<Placement> all;
    for (int i = 0; i < 50; ++i) all.push_back(transform.placement(epoch, i));
    return all;
  };
  const auto different = [](const std::vector<Placement>& a, const std::vector<Placement>& b) {
    int n = 0;
    for (std::size_t i = 0; i < a.size(); ++i) n += key(a[i]) != key(b[i]);
    return n;
  };
  const auto base = placements(kCropAndFlip, 1, 0);
  CHECK(different(base, placements(kCropAndFlip, 1, 0)) == 0);
  CHECK(different(base, placements(kCropAndFlip, 2, 0)) > 40);
  CHECK(different(base, placements(kCropAndFlip, 1, 1)) > 40);
  CHECK(std::set(base.begin(), base.end(), [](auto& a, auto& b) { return key(a) < key(b); }).size() > 30);
  const auto more = placements({.pad = 4, .flip = true, .cutout = 16}, 1, 0);
  const auto no_crop = placements({.flip = true}, 1, 0), no_flip = placements({.pad = 4}, 1, 0);
  for (std::size_t i = 0; i < base.size(); ++i) {
    CHECK(std::tuple(more[i].top, more[i].left, more[i].mirrored) ==
          std::tuple(base[i].top, base[i].left, base[i].mirrored));
    CHECK(no_crop[i].mirrored == base[i].mirrored);
    CHECK(std::pair(no_flip[i].top, no_flip[i].left) == std::pair(base[i].top, base[i].left));
  }
}

TEST_CASE("augment: flips in turn show the other side in every next epoch, half of the images first") {
  const ImageTransform transform(kImage, normalisation_of(3), {.flip = true, .flip_in_turn = true}, 3);
  int mirrored = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool first = transform.placement(0, i).mirrored;
    mirrored += first;
    for (const std::int64_t epoch : {1, 2, 3})
      CHECK(transform.placement(epoch, i).mirrored == (first != (epoch % 2 == 1)));
  }
  CHECK(mirrored > 440);
  CHECK(mirrored < 560);
}

TEST_CASE("augment: options that do not fit the images are refused") {
  const auto complaint = [](const Augmentation& a) {
    return complaint_of([&] { ImageTransform(Shape{6, 9, 1}, normalisation_of(1), a, 1); });
  };
  CHECK(complaint({.pad = 5, .cutout = 18}).empty());
  CHECK_SAYS(complaint({.pad = 6}), "augmentation: given pad 6, expected 0 to 5");
  CHECK_SAYS(complaint({.pad = -1}), "given pad -1");
  CHECK_SAYS(complaint({.cutout = 19}), "given cutout 19, expected 0 to 18");
  CHECK_SAYS(complaint({.cutout = -1}), "given cutout -1");
  const auto normalised = [](const Normalisation& n) {
    return complaint_of([&] { ImageTransform(Shape{6, 9, 1}, n, {}, 1); });
  };
  CHECK_SAYS(normalised({{std::nan("")}, {1}}), "augmentation: given the deviation 1 and the mean nan");
  CHECK_SAYS(normalised({{0.5}, {std::nan("")}}), "expected a positive one");
  CHECK_SAYS(normalised({{0.5, 0.5}, {1, 1}}), "given 2 means");
}
