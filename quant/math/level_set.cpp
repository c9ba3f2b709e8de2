#include "quant/math/level_set.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "quant/math/power_of_two.h"

namespace coarsegrad {
namespace {

// The best of the distances between neighbours.
template <class Better>
double best_step(std::span<const double> levels, Better better) {
  double best = levels[1] - levels[0];
  for (std::size_t i = 2; i < levels.size(); ++i)
    if (const double step = levels[i] - levels[i - 1]; better(step, best)) best = step;
  return best;
}

}  // namespace

LevelSet::LevelSet(std::vector<double> levels) : levels_(std::move(levels)) {
  check(levels_.size() >= 2 && std::ranges::all_of(levels_, [](double q) { return std::isfinite(q); }) &&
            std::ranges::adjacent_find(levels_, std::greater_equal()) == levels_.end(),
        "level set: given ", levels_.size(), " levels, expected two or more, finite and ascending");
  for (std::size_t i = 1; i < levels_.size(); ++i) thresholds_.push_back((levels_[i - 1] + levels_[i]) / 2);
}

template <class T>
std::vector<T> LevelSet::thresholds_of_size(double scale) const {
  std::vector<T> sizes;
  for (const double t : thresholds_)
    if (t >= 0) sizes.push_back(static_cast<T>(t * scale));
  return sizes;
}
template std::vector<float> LevelSet::thresholds_of_size(double) const;
template std::vector<double> LevelSet::thresholds_of_size(double) const;

double LevelSet::least_step() const { return best_step(levels_, std::less()); }
double LevelSet::greatest_step() const { return best_step(levels_, std::greater()); }

int LevelSet::index_of(double x) const {
  return static_cast<int>(std::ranges::count_if(thresholds_, [x](double t) { return t < 0 ? x > t : x >= t; }));
}

int level_magnitudes(int bits, ThreeBits three_bits) { return bits < 3 ? 1 : static_cast<int>(three_bits); }

std::vector<std::string> level_scale_names() { return {"fitted", "unit", "mean"}; }

LevelScale level_scale(std::string_view name) {
  const auto names = level_scale_names();
  const auto found = std::ranges::find(names, name);
  check_usage(found != names.end(), "scale of levels: given '", name, "', expected fitted, unit or mean");
  return static_cast<LevelScale>(found - names.begin());
}

std::string name_of(LevelScale scale) { return level_scale_names()[static_cast<std::size_t>(scale)]; }

LevelSet level_set(int bits, ThreeBits three_bits) {
  check_usage(bits >= 1 && bits <= 3, "bits of a level set: given ", bits, ", expected 1 to 3");
  if (bits == 1) return LevelSet({-1, 1});
  const int magnitudes = level_magnitudes(bits, three_bits);
  std::vector<double> levels;
  for (int k = -magnitudes; k <= magnitudes; ++k) levels.push_back(power_value(k, magnitudes));
  return LevelSet(std::move(levels));
}

}  // namespace coarsegrad
