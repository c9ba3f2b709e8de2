#include "quant/math/gradient_variance.h"

#include <cmath>

#include "core/base/check.h"
#include "quant/math/block_householder.h"

namespace coarsegrad {
namespace {

double entry_variance(double x, const Grid<double>& grid, RoundingNoise noise) {
  const double q = (x - grid.center) * grid.inverse + grid.bins / 2.0, p = q - std::floor(q);
  return (noise == RoundingNoise::largest ? 0.25 : p * (1 - p)) * grid.step * grid.step;
}

void check_size(std::int64_t rows, std::int64_t cols, std::span<const double> x) {
  check(rows >= 0 && cols >= 0 && static_cast<std::int64_t>(x.size()) == rows * cols, "rounding variance: given ",
        x.size(), " entries, expected ", rows, " x ", cols);
}

std::vector<Interval<double>> ranges_of(std::int64_t rows, std::int64_t cols, const double* x, RowRange kind) {
  std::vector<Interval<double>> ranges(static_cast<std::size_t>(rows));
  row_ranges(rows, cols, x, kind, ranges.data());
  return ranges;
}

}  // namespace

std::vector<double> rounding_variance(std::int64_t rows, std::int64_t cols, std::span<const double> x, RowRange kind,
                                      int bins, RoundingNoise noise) {
  check_size(rows, cols, x);
  const auto ranges = ranges_of(rows, cols, x.data(), kind);
  std::vector<double> variance;
  for (std::int64_t i = 0; i < rows * cols; ++i)
    variance.push_back(entry_variance(x[static_cast<std::size_t>(i)],
                                      grid_over(ranges[static_cast<std::size_t>(i / cols)], bins), noise));
  return variance;
}

// T^-1 = diag(1/s) Q spreads the noise e_j of row j of Y over the rows i of its group:
// Var_i = 1/s_i^2 sum_j Q_ij^2 e_j, and Q_ij^2 = [i = j] (1 - 2 beta v_i^2) + beta^2 v_i^2 v_j^2.
std::vector<double> householder_variance(std::int64_t rows, std::int64_t cols, std::span<const double> x, int bins,
                                         RoundingNoise noise) {
  check_size(rows, cols, x);
  const auto ranges = ranges_of(rows, cols, x.data(), RowRange::min_max);
  std::vector<double> lengths;
  for (const Interval<double>& r : ranges) lengths.push_back(r.length());
  const auto groups = householder_groups(lengths);
  std::vector<double> y(x.size()), variance(x.size());
  householder_transform(cols, ranges, groups, x.data(), y.data());
  const std::vector<double> noise_of_y = rounding_variance(rows, cols, y, RowRange::min_max, bins, noise);
  for (const HouseholderGroup& g : groups)
    for (std::int64_t c = 0; c < cols; ++c) {
      const auto at = [&](std::size_t j) { return static_cast<std::size_t>(g.rows[j] * cols + c); };
      double spread = 0;
      for (std::size_t j = 0; j < g.rows.size(); ++j) spread += g.v(j) * g.v(j) * noise_of_y[at(j)];
      for (std::size_t i = 0; i < g.rows.size(); ++i) {
        const double vv = g.v(i) * g.v(i), b = g.beta();
        variance[at(i)] = ((1 - 2 * b * vv) * noise_of_y[at(i)] + b * b * vv * spread) / (g.scale(i) * g.scale(i));
      }
    }
  return variance;
}

}  // namespace coarsegrad
