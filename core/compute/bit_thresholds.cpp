#include "core/compute/bit_thresholds.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

constexpr int kMostCompared = 2;  // thresholds that are compared as fast as a line is computed

// A sum, negated where the channel is descending, and its level.
struct Point {
  std::int64_t sum;
  int level;
};

struct Line {
  float slope, start;
};

// ceil(slope * sum + start), cut off at 0 and `count`, as bits.line computes it.
int level_on(const Line& line, std::int64_t sum, int count) {
  const float level = std::ceil(std::fma(line.slope, static_cast<float>(sum), line.start));
  return static_cast<int>(std::clamp(level, 0.f, static_cast<float>(count)));
}

// The sums on both sides of each threshold, and the ends of the range: where their levels are right, all are, since both
// the thresholds and a line rise from one to the next.
std::vector<Point> corners(std::span<const std::int32_t> ascending, const SumRange& range) {
  const auto level = [&](std::int64_t sum) {
    return static_cast<int>(std::ranges::count_if(ascending, [&](std::int32_t t) { return sum >= t; }));
  };
  std::vector<Point> points{{range.lowest, level(range.lowest)}, {range.highest, level(range.highest)}};
  for (const std::int32_t t : ascending) {
    if (t <= range.lowest || t > range.highest) continue;
    points.push_back({t - std::int64_t{1}, level(t - std::int64_t{1})});
    points.push_back({t, level(t)});
  }
  return points;
}

// The starts that put all points on their levels with this slope: above `least`, up to `most`.
struct Starts {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  double room() const { return most - least; }
};
Starts starts_for(const std::vector<Point>& points, int count, double slope) {
  Starts all;
  for (const Point& p : points) {
    const double rise = slope * static_cast<double>(p.sum);
    if (p.level > 0) all.least = std::max(all.least, p.level - 1 - rise);
    if (p.level < count) all.most = std::min(all.most, p.level - rise);
  }
  return all;
}

// The line that has most room: the room is a concave function of the slope.
std::optional<Line> line_through(const std::vector<Point>& points, int count) {
  constexpr int kSteps = 60;
  double low = std::log(1e-9), high = std::log(2.0 * count);
  for (int i = 0; i < kSteps; ++i) {
    const double a = low + (high - low) / 3, b = high - (high - low) / 3;
    const bool rises = starts_for(points, count, std::exp(a)).room() < starts_for(points, count, std::exp(b)).room();
    (rises ? low : high) = rises ? a : b;
  }
  const auto fits = [&](double slope) -> std::optional<Line> {
    const Starts s = starts_for(points, count, slope);
    if (!(s.room() > 0)) return {};
    const double start = std::isinf(s.least)  ? s.most - 0.5
                         : std::isinf(s.most) ? s.least + 0.5
                                              : (s.least + s.most) / 2;
    const Line line{static_cast<float>(slope), static_cast<float>(start)};
    const bool right =
        std::ranges::all_of(points, [&](const Point& p) { return level_on(line, p.sum, count) == p.level; });
    return right ? std::optional(line) : std::nullopt;
  };
  if (const auto level = fits(0)) return level;
  return fits(std::exp((low + high) / 2));
}

}  // namespace

BitThresholds::BitThresholds(int count, std::span<const std::int32_t> thresholds,
                             std::span<const std::uint8_t> descending, std::optional<SumRange> range)
    : count_(count) {
  check(count >= 1 && count <= 255 && thresholds.size() == descending.size() * static_cast<std::size_t>(count),
        "BitThresholds: given ", thresholds.size(), " thresholds, ", count, " for each of ", descending.size(),
        " channels, expected 1 to 255 for each");
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
  flip_.resize(descending.size());
  bounds_.resize(thresholds.size());
  for (std::size_t c = 0; c < flip_.size(); ++c) {
    flip_[c] = descending[c] != 0 ? -1 : 0;  // sum <= t where ~sum >= ~t
    for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
      const std::int32_t t = thresholds[c * static_cast<std::size_t>(count) + k] ^ flip_[c];
      bounds_[k * flip_.size() + c] = t == lowest ? lowest : t == -1 - lowest ? t : t - 1;
    }
  }
  if (range && count > kMostCompared) find_lines(thresholds, *range);
}

void BitThresholds::find_lines(std::span<const std::int32_t> thresholds, const SumRange& range) {
  const auto n = static_cast<std::size_t>(count_);
  for (std::size_t c = 0; c < flip_.size(); ++c) {
    const bool descends = flip_[c] != 0;
    std::vector<std::int32_t> ascending;
    for (const std::int32_t t : thresholds.subspan(c * n, n))
      ascending.push_back(descends ? -std::max(t, -std::numeric_limits<std::int32_t>::max()) : t);
    const SumRange own = descends ? SumRange{-range.highest, -range.lowest} : range;
    const std::optional<Line> line = line_through(corners(ascending, own), count_);
    if (!line) {
      slope_.clear();
      start_.clear();
      return;
    }
    slope_.push_back(descends ? -line->slope : line->slope);
    start_.push_back(line->start);
  }
}

int BitThresholds::bits() const { return std::bit_width(static_cast<unsigned>(count_)); }

void BitThresholds::levels_of(std::int64_t first, std::int64_t n, const std::int32_t* sums,
                              std::uint8_t* levels) const {
  const kernels::Bits& bits = active_kernels().bits;
  if (is_line())
    bits.line(n, count_, sums, slope_.data() + first, start_.data() + first, levels);
  else
    bits.threshold(n, count_, sums, flip_.data() + first, bounds_.data() + first, channels(), levels);
}

void BitThresholds::planes_of(std::int64_t first, std::int64_t n, const std::int32_t* sums, std::uint64_t* planes,
                              std::int64_t row) const {
  const kernels::Bits& kernels = active_kernels().bits;
  if (count_ == 1) return kernels.compare(n, sums, flip_.data() + first, bounds_.data() + first, planes);
  constexpr std::int64_t kWordBits = 64;
  const int planes_of_levels = bits();
  std::array<std::uint8_t, kWordBits> levels;
  std::array<std::uint64_t, kernels::kMaxWeightPlanes> word;
  for (std::int64_t c = 0; c < n; c += kWordBits) {
    const std::int64_t some = std::min(kWordBits, n - c);
    levels_of(first + c, some, sums + c, levels.data());
    kernels.split(planes_of_levels, 1, some, levels.data(), word.data());
    for (int k = 0; k < planes_of_levels; ++k) planes[k * row + c / kWordBits] = word[static_cast<std::size_t>(k)];
  }
}

}  // namespace coarsegrad
