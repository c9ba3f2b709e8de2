#include "datasets/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {
namespace {

struct Point {
  double x, y;
};
// A digit in the box -1..1 (y downwards), drawn without lifting the pen.
using Path = std::vector<Point>;

/// Points on an ellipse from angle `from` to angle `to`, in degrees, clockwise from the right.
Path arc(Point centre, double rx, double ry, double from, double to) {
  Path points;
  constexpr int kPieces = 16;
  for (int i = 0; i <= kPieces; ++i) {
    const double angle = (from + (to - from) * i / kPieces) * std::numbers::pi / 180;
    points.push_back({centre.x + rx * std::cos(angle), centre.y + ry * std::sin(angle)});
  }
  return points;
}

Path join(std::initializer_list<Path> parts) {
  Path all;
  for (const Path& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

const std::array<Path, 10>& digit_shapes() {
  static const std::array<Path, 10> shapes{
      arc({0, 0}, 0.6, 0.95, 0, 360),
      Path{{-0.3, -0.6}, {0.1, -0.95}, {0.1, 0.95}},
      join({arc({0, -0.45}, 0.55, 0.5, -170, 40), {{-0.6, 0.95}, {0.65, 0.95}}}),
      join({arc({0, -0.48}, 0.5, 0.47, -150, 90), arc({0, 0.47}, 0.58, 0.48, -90, 150)}),
      Path{{0.3, 0.95}, {0.3, -0.95}, {-0.65, 0.35}, {0.7, 0.35}},
      join({{{0.55, -0.95}, {-0.4, -0.95}, {-0.5, -0.05}}, arc({-0.05, 0.35}, 0.6, 0.58, -130, 140)}),
      join({{{0.4, -0.95}}, arc({0, 0.4}, 0.52, 0.55, -160, -520)}),
      Path{{-0.6, -0.9}, {0.6, -0.9}, {-0.1, 0.95}},
      join({arc({0, -0.48}, 0.45, 0.45, 90, 450), arc({0, 0.47}, 0.55, 0.5, -90, 270)}),
      join({arc({0, -0.4}, 0.5, 0.52, 0, -360), {{0.5, -0.4}, {0.35, 0.95}}}),
  };
  return shapes;
}

double distance_to_segment(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
  const double along = length2 > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / length2 : 0;
  const double t = std::clamp(along, 0., 1.);
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

/// The path as somebody might write them, in pixels.
Path written(const Path& shape, Rng& rng) {
  const auto between = [&](double low, double high) { return low + (high - low) * rng.uniform(); };
  const double turn = between(-0.25, 0.25), slant = between(-0.25, 0.35), scale = between(8, 10);
  const double width = scale * between(0.8, 1.15), dx = between(-1.5, 1.5), dy = between(-1.5, 1.5);
  Path out;
  for (const Point& p : shape) {
    const double x = width * (p.x - slant * p.y), y = scale * p.y;
    out.push_back(
        {13.5 + dx + x * std::cos(turn) - y * std::sin(turn), 13.5 + dy + x * std::sin(turn) + y * std::cos(turn)});
  }
  return out;
}

void draw(const Path& path, double pen, std::span<std::uint8_t> pixels) {
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::size_t row = i / 28, column = i % 28;
    const Point p{static_cast<double>(column), static_cast<double>(row)};
    double distance = 28;
    for (std::size_t k = 1; k < path.size(); ++k)
      distance = std::min(distance, distance_to_segment(p, path[k - 1], path[k]));
    pixels[i] = static_cast<std::uint8_t>(255 * std::clamp(pen - distance + 0.5, 0., 1.));
  }
}

/// How far p lies outside the shape of class `kind` (negative: inside), in the box -1..1.
double distance_to_shape(std::uint64_t kind, Point p) {
  const double x = std::abs(p.x), y = std::abs(p.y), r = std::hypot(p.x, p.y);
  const auto box = [](double u, double v, double half_u, double half_v) {
    return std::max(std::abs(u) - half_u, std::abs(v) - half_v);
  };
  switch (kind) {
    case 0:
      return r - 0.8;
    case 1:
      return std::abs(r - 0.68) - 0.17;
    case 2:
      return std::max(x, y) - 0.68;
    case 3:
      return std::abs(std::max(x, y) - 0.62) - 0.15;
    case 4:
      return std::max(p.y - 0.55, 0.87 * x - 0.5 * p.y - 0.5);
    case 5:
      return std::min(box(p.x, p.y, 0.9, 0.2), box(p.x, p.y, 0.2, 0.9));
    case 6:
      return box(p.x, p.y, 0.95, 0.22);
    case 7:
      return box(p.x, y - 0.5, 0.85, 0.2);
    case 8:
      return std::max(r - 0.85, 0.62 - std::hypot(p.x - 0.4, p.y));
    default:
      return std::min(box(p.x, p.y + 0.65, 0.85, 0.2), box(p.x, p.y, 0.2, 0.85));
  }
}

using Colour = std::array<double, 3>;  // 0 to 255

/// A colour that leans to the hue of class `kind`, at least 100 away from `ground`.
Colour colour_of_shape(std::uint64_t kind, const Colour& ground, Rng& rng) {
  const double hue = 2 * std::numbers::pi * static_cast<double>(kind) / 10;
  while (true) {
    Colour colour;
    double distance2 = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      const double lean = 45 * std::cos(hue - 2 * std::numbers::pi * static_cast<double>(c) / 3);
      colour[c] = std::clamp(255 * rng.uniform() + lean, 0., 255.);
      distance2 += (colour[c] - ground[c]) * (colour[c] - ground[c]);
    }
    if (distance2 > 100 * 100) return colour;
  }
}

void draw_shape(std::uint64_t kind, Rng& rng, std::span<std::uint8_t> pixels) {
  const auto between = [&](double low, double high) { return low + (high - low) * rng.uniform(); };
  Colour ground, slope_x, slope_y;
  for (std::size_t c = 0; c < 3; ++c) {
    ground[c] = between(0, 255);
    slope_x[c] = between(-2, 2);
    slope_y[c] = between(-2, 2);
  }
  const Colour colour = colour_of_shape(kind, ground, rng);
  const double turn = between(0, 2 * std::numbers::pi), scale = between(9, 14);
  const Point centre{15.5 + between(-3, 3), 15.5 + between(-3, 3)};
  std::array<float, 32 * 32 * 3> noise;
  rng.normal(noise.data(), noise.size(), 0.f, 10.f);
  for (std::size_t i = 0; i < 32 * 32; ++i) {
    const std::size_t row = i / 32, column = i % 32;
    const double dx = static_cast<double>(column) - centre.x, dy = static_cast<double>(row) - centre.y;
    const Point p{(dx * std::cos(turn) + dy * std::sin(turn)) / scale,
                  (dy * std::cos(turn) - dx * std::sin(turn)) / scale};
    const double covered = std::clamp(0.5 - scale * distance_to_shape(kind, p), 0., 1.);
    for (std::size_t c = 0; c < 3; ++c) {
      const double behind = ground[c] + slope_x[c] * dx + slope_y[c] * dy;
      const double value = covered * colour[c] + (1 - covered) * behind + double{noise[3 * i + c]};
      pixels[3 * i + c] = static_cast<std::uint8_t>(std::clamp(value, 0., 255.));
    }
  }
}

ImageDataset blank(const char* name, const Shape& image, int classes, Normalisation normalisation, std::int64_t count) {
  check(count >= 1 && count <= 1 << 24, name, ": given ", count, " images, expected 1 to 2^24");
  check(image.rank() == 3, name, ": given image shape ", image, ", expected (H,W,C)");
  check(classes >= 1, name, ": given ", classes, " classes, expected 1 or more");
  const auto n = static_cast<std::size_t>(count);
  return {name,
          image,
          classes,
          std::move(normalisation),
          std::vector<std::uint8_t>(n * static_cast<std::size_t>(image.numel())),
          std::vector<std::int32_t>(n)};
}

std::span<std::uint8_t> image_in(ImageDataset& data, std::int64_t i) {
  const auto bytes = static_cast<std::size_t>(data.image.numel());
  return std::span(data.pixels).subspan(static_cast<std::size_t>(i) * bytes, bytes);
}

}  // namespace

ImageDataset gaussian_classes(std::int64_t count, const Shape& image, int classes, double spread, std::uint64_t seed,
                              std::uint64_t part) {
  check(spread >= 0, "gaussian_classes: given spread ", spread, ", expected 0 or more");
  const std::vector<double> half(image.rank() == 3 ? static_cast<std::size_t>(image[2]) : 0, 0.5);
  const std::vector<double> quarter(half.size(), 0.25);
  ImageDataset data = blank("gaussian classes", image, classes, {half, quarter}, count);
  const auto bytes = static_cast<std::size_t>(image.numel());
  std::vector<double> centres(bytes * static_cast<std::size_t>(classes));
  Rng root(seed);
  root.split("centres").normal(centres.data(), centres.size());

  const Rng images = root.split("images").split(part);
  parallel_for(count, [&](std::int64_t i) {
    Rng rng = images.split(static_cast<std::uint64_t>(i));
    const std::uint64_t label = rng.below(static_cast<std::uint64_t>(classes));
    data.labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
    std::vector<double> noise(bytes);
    rng.normal(noise.data(), bytes);
    const auto pixels = image_in(data, i);
    for (std::size_t k = 0; k < bytes; ++k) {
      const double value = 127.5 + 32 * (centres[label * bytes + k] + spread * noise[k]);
      pixels[k] = static_cast<std::uint8_t>(std::clamp(value, 0., 255.));
    }
  });
  return data;
}

ImageDataset drawn_digits(std::int64_t count, std::uint64_t seed, std::uint64_t part) {
  ImageDataset data = blank("drawn digits", {28, 28, 1}, 10, {{0.1307}, {0.3081}}, count);
  const Rng images = Rng(seed).split("digits").split(part);
  parallel_for(count, [&](std::int64_t i) {
    Rng rng = images.split(static_cast<std::uint64_t>(i));
    const std::uint64_t label = rng.below(10);
    data.labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
    const Path path = written(digit_shapes()[label], rng);
    draw(path, 0.9 + 0.8 * rng.uniform(), image_in(data, i));
  });
  return data;
}

ImageDataset drawn_shapes(std::int64_t count, std::uint64_t seed, std::uint64_t part) {
  const Normalisation cifar10{{0.4914, 0.4822, 0.4465}, {0.2023, 0.1994, 0.2010}};
  ImageDataset data = blank("drawn shapes", {32, 32, 3}, 10, cifar10, count);
  const Rng images = Rng(seed).split("shapes").split(part);
  parallel_for(count, [&](std::int64_t i) {
    Rng rng = images.split(static_cast<std::uint64_t>(i));
    const std::uint64_t label = rng.below(10);
    data.labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
    draw_shape(label, rng, image_in(data, i));
  });
  return data;
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
