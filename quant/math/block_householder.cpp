#include "quant/math/block_householder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using kernels::Combination;

// s_2 grows without bound as the small rows shrink; from here on that gains nothing.
constexpr double kSmallest = 1e-12;

// How many rows of these, in descending order, are large.
std::int64_t large_rows(std::span<const double> v) {
  std::vector<double> sum_to(v.size() + 1, 0.0);
  std::partial_sum(v.begin(), v.end(), sum_to.begin() + 1);
  const auto n = static_cast<std::int64_t>(v.size());
  std::int64_t large = n - 1;
  const auto deserves = [&](std::int64_t g) {  // small rows that the smallest of g large ones should get
    return static_cast<double>(n - g) * v[static_cast<std::size_t>(g - 1)] / sum_to[static_cast<std::size_t>(g)];
  };
  while (large > 1 && !(deserves(large) > 1)) --large;
  return large;
}

// The scales that minimise the variance for these ranges, up to a common factor.
void set_scales(HouseholderGroup& g, double large, double small) {
  const double z = g.size(), spread = 1 / std::sqrt(z), off_diagonal = z > 2 ? g.beta() / z : 0;
  const double most = std::max({spread, std::abs(1 - g.beta() / z), off_diagonal});  // max |Q|
  const double w1 = large * spread, w2 = std::max(small, kSmallest * large) * most;
  const double s1 = std::pow(w1, -1.0 / 3), s2 = std::pow(w2 / (z - 1), -1.0 / 3);
  const double unit = std::sqrt(1 / (s1 * s1) + 1 / (s2 * s2));
  g.large_scale = s1 * unit;
  g.small_scale = s2 * unit;
}

// A group with its numbers worked out, which are asked for once for each piece of each row.
template <class T>
class Sweep {
 public:
  Sweep(const HouseholderGroup& group, std::span<const Interval<T>> ranges)
      : group_(group),
        ranges_(ranges),
        v_{group.v(0), group.v(1)},
        scale_{group.large_scale, group.small_scale},
        inverse_{1 / scale_[0], 1 / scale_[1]},
        beta_(group.beta()) {}

  /// t = sum over rows j of v_j s_j (x_j - c_j); x points to column `begin` of the first row.
  void project(std::int64_t cols, std::int64_t n, const T* x, T* t) const {
    std::fill_n(t, n, T(0));
    for (std::size_t j = 0; j < group_.rows.size(); ++j)
      combine(n, {static_cast<T>(v_[kind(j)] * scale_[kind(j)]), center(j), 1, 0}, x + group_.rows[j] * cols, t, t);
  }
  /// y = s_j (x_j - c_j) - beta v_j t.
  void reflect(std::size_t j, std::int64_t n, const T* x_j, const T* t, T* y) const {
    combine(n, reflection(j), x_j, t, y);
  }
  Combination<T> reflection(std::size_t j) const {
    return {static_cast<T>(scale_[kind(j)]), center(j), static_cast<T>(-beta_ * v_[kind(j)]), 0};
  }
  /// t = t + v_j y.
  void project_back(std::size_t j, std::int64_t n, const T* y, T* t) const { combine(n, {v(j), 0, 1, 0}, y, t, t); }
  /// x_j = (y - beta v_j t) / s_j + c_j.
  void reflect_back(std::size_t j, std::int64_t n, const T* y, const T* t, T* x_j) const {
    const double inverse = inverse_[kind(j)];
    combine(n, {static_cast<T>(inverse), 0, static_cast<T>(-beta_ * v_[kind(j)] * inverse), center(j)}, y, t, x_j);
  }
  T v(std::size_t j) const { return static_cast<T>(v_[kind(j)]); }

 private:
  static void combine(std::int64_t n, const Combination<T>& factors, const T* x, const T* t, T* y) {
    real_kernels<T>().stochastic.combine(n, factors, x, t, y);
  }
  static std::size_t kind(std::size_t j) { return j == 0 ? 0 : 1; }
  T center(std::size_t j) const {
    const Interval<T>& r = ranges_[static_cast<std::size_t>(group_.rows[j])];
    return r.low + r.length() / 2;
  }

  const HouseholderGroup& group_;
  std::span<const Interval<T>> ranges_;
  double v_[2], scale_[2], inverse_[2], beta_;  // of the large row and of the small ones
};

constexpr std::int64_t kColumns = 1024;  // of a piece: its rows and working space stay in the caches
static_assert(kColumns % kDrawsPerBlock == 0 && kColumns <= RoundingDraws::kMost);

// One rounding of one group of rows of x.
template <class T>
class GroupRounding {
 public:
  GroupRounding(std::int64_t cols, const T* x, std::span<const Interval<T>> ranges, const HouseholderGroup& group, T* y)
      : cols_(cols), pieces_((cols + kColumns - 1) / kColumns), x_(x), y_(y), group_(group), sweep_(group, ranges) {}

  void run(int bins, const Rng* rng) const {
    const std::size_t size = group_.rows.size();
    const Scratch<Interval<T>> parts(size * static_cast<std::size_t>(pieces_));
    const Scratch<T> t(static_cast<std::size_t>(cols_));
    parallel_for(pieces_, [&](std::int64_t piece) { reflected_ranges(piece, t.data(), parts.data() + piece); });
    const Scratch<Grid<T>> grids(size);
    for (std::size_t j = 0; j < size; ++j) {
      const Interval<T>* part = parts.data() + static_cast<std::int64_t>(j) * pieces_;
      Interval<T> row = part[0];
      for (std::int64_t p = 1; p < pieces_; ++p) row = hull(row, part[p]);
      grids[j] = grid_over(row, bins);
    }
    parallel_for(pieces_, [&](std::int64_t piece) { round(piece, t.data(), grids.data(), rng); });
  }

 private:
  std::int64_t columns(std::int64_t piece) const { return std::min(kColumns, cols_ - piece * kColumns); }
  std::int64_t first(std::size_t j, std::int64_t piece) const { return group_.rows[j] * cols_ + piece * kColumns; }

  // t in these columns, and the ranges of the rows of Y, pieces_ apart.
  void reflected_ranges(std::int64_t piece, T* t, Interval<T>* ranges) const {
    const std::int64_t n = columns(piece);
    t += piece * kColumns;
    sweep_.project(cols_, n, x_ + piece * kColumns, t);
    for (std::size_t j = 0; j < group_.rows.size(); ++j, ranges += pieces_)
      real_kernels<T>().stochastic.combined_range(n, sweep_.reflection(j), x_ + first(j, piece), t, &ranges->low,
                                                  &ranges->high);
  }

  void round(std::int64_t piece, const T* t, const Grid<T>* grids, const Rng* rng) const {
    alignas(64) T back[kColumns];
    const std::int64_t n = columns(piece);
    t += piece * kColumns;
    std::fill_n(back, n, T(0));
    for (std::size_t j = 0; j < group_.rows.size(); ++j) {
      const RoundingDraws draws(rng, group_.rows[j], cols_, piece * kColumns, n);
      real_kernels<T>().stochastic.round_combined(n, sweep_.reflection(j), grids[j], draws.data(), x_ + first(j, piece),
                                                  t, sweep_.v(j), y_ + first(j, piece), back);
    }
    for (std::size_t j = 0; j < group_.rows.size(); ++j)
      sweep_.reflect_back(j, n, y_ + first(j, piece), back, y_ + first(j, piece));
  }

  std::int64_t cols_, pieces_;
  const T* x_;
  T* y_;
  const HouseholderGroup& group_;
  Sweep<T> sweep_;
};

}  // namespace

double HouseholderGroup::v(std::size_t j) const { return 1 / std::sqrt(size()) - (j == 0 ? 1 : 0); }

double HouseholderGroup::beta() const { return 1 / (1 - 1 / std::sqrt(size())); }

std::vector<HouseholderGroup> householder_groups(std::span<const double> ranges) {
  const auto n = static_cast<std::int64_t>(ranges.size());
  const bool usable = std::ranges::all_of(ranges, [](double r) { return r >= 0 && std::isfinite(r); });
  check(n >= 3 && usable && std::ranges::any_of(ranges, [](double r) { return r > 0; }), "householder groups: given ",
        n, " ranges", usable ? "" : ", some of them negative or not finite", ", expected 3 or more, not all 0");
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  const auto range = [&](std::int64_t row) { return ranges[static_cast<std::size_t>(row)]; };
  std::ranges::stable_sort(order, std::greater{}, range);
  std::vector<double> v;
  for (const std::int64_t row : order) v.push_back(range(row));
  const std::int64_t large = large_rows(v), small = n - large;
  const double total = std::accumulate(v.begin(), v.begin() + large, 0.0);
  std::vector<HouseholderGroup> groups;
  double share = 0;
  std::int64_t dealt = 0;
  for (std::int64_t g = 0; g < large; ++g) {
    share += v[static_cast<std::size_t>(g)];
    const std::int64_t next = g + 1 == large ? small : std::llround(static_cast<double>(small) * share / total);
    HouseholderGroup group{{order[static_cast<std::size_t>(g)]}, 0, 0};
    group.rows.insert(group.rows.end(), order.begin() + large + dealt, order.begin() + large + next);
    set_scales(group, v[static_cast<std::size_t>(g)], v[static_cast<std::size_t>(large + dealt)]);
    groups.push_back(std::move(group));
    dealt = next;
  }
  return groups;
}

// Groups that fit into a second-level cache are a task each, which finds its rows there when it comes back to
// round them; the others are shared by the threads one after another (parallel_for is serial within a task).
template <class T>
void round_householder(std::int64_t rows, std::int64_t cols, const T* x, std::span<const Interval<T>> ranges,
                       std::span<const HouseholderGroup> groups, int bins, const Rng* rng, T* y) {
  if (rows * cols == 0) return;
  constexpr std::int64_t kMost = std::int64_t{1} << 17;
  std::vector<const HouseholderGroup*> small;
  for (const HouseholderGroup& g : groups) {
    if (static_cast<std::int64_t>(g.rows.size()) * cols <= kMost)
      small.push_back(&g);
    else
      GroupRounding<T>(cols, x, ranges, g, y).run(bins, rng);
  }
  parallel_for(static_cast<std::int64_t>(small.size()), [&](std::int64_t i) {
    GroupRounding<T>(cols, x, ranges, *small[static_cast<std::size_t>(i)], y).run(bins, rng);
  });
}

void householder_transform(std::int64_t cols, std::span<const Interval<double>> ranges,
                           std::span<const HouseholderGroup> groups, const double* x, double* y) {
  std::vector<double> t(static_cast<std::size_t>(cols));
  for (const HouseholderGroup& g : groups) {
    const Sweep<double> sweep(g, ranges);
    sweep.project(cols, cols, x, t.data());
    for (std::size_t j = 0; j < g.rows.size(); ++j)
      sweep.reflect(j, cols, x + g.rows[j] * cols, t.data(), y + g.rows[j] * cols);
  }
}

void householder_inverse(std::int64_t cols, std::span<const Interval<double>> ranges,
                         std::span<const HouseholderGroup> groups, const double* y, double* x) {
  std::vector<double> t(static_cast<std::size_t>(cols));
  for (const HouseholderGroup& g : groups) {
    const Sweep<double> sweep(g, ranges);
    std::ranges::fill(t, 0.0);
    for (std::size_t j = 0; j < g.rows.size(); ++j) sweep.project_back(j, cols, y + g.rows[j] * cols, t.data());
    for (std::size_t j = 0; j < g.rows.size(); ++j)
      sweep.reflect_back(j, cols, y + g.rows[j] * cols, t.data(), x + g.rows[j] * cols);
  }
}

template void round_householder(std::int64_t, std::int64_t, const float*, std::span<const Interval<float>>,
                                std::span<const HouseholderGroup>, int, const Rng*, float*);
template void round_householder(std::int64_t, std::int64_t, const double*, std::span<const Interval<double>>,
                                std::span<const HouseholderGroup>, int, const Rng*, double*);

}  // namespace coarsegrad
