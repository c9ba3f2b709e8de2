#pragma once
// The block Householder quantizer of gradients as mathematics on an N x D matrix X (rows are samples). Rows
// are scaled, spread over the rows of their group by a reflection, and rounded stochastically there:
//   Y = T (X - c 1'),  X^ = T^-1 round(Y) + c 1',  T = Q diag(s_1, s_2, ..., s_2) in each group,
//   Q = I - 2 v v' / |v|^2,  v = 1 / sqrt(z) - e_1,
// with z rows in the group, the large one first, which Q spreads evenly over all of them (Q e_1 = 1 /
// sqrt(z)). Each row of Y has a grid over its own range. c are the middles of the rows: they do not change X^
// (a constant moves a row of Y and its grid alike), but keep digits that a large offset would cost. Q is
// applied as a rank-1 update, so that everything is O(N D). Source: Chen, Gai, Yao, Mahoney, Gonzalez, "A
// statistical framework for low-bitwidth training of deep neural networks" (NeurIPS 2020, arXiv 2010.14298),
// with groups and scales as in the authors' released code, but for an absolute 1e-8 that it adds to each
// range. T is float or double.
#include <cstdint>
#include <span>
#include <vector>

#include "core/compute/stochastic.h"

namespace coarsegrad {

/// The rows of X that one reflection Q mixes, and their scales.
struct HouseholderGroup {
  std::vector<std::int64_t> rows;  ///< the large one first
  /// s_1.
  double large_scale, small_scale;  ///< s_2

  /// z.
  double size() const { return static_cast<double>(rows.size()); }
  /// s of the j-th row of the group.
  double scale(std::size_t j) const { return j == 0 ? large_scale : small_scale; }
  /// v_j.
  double v(std::size_t j) const;
  /// 2 / |v|^2.
  double beta() const;
};

/// The groups of rows with these ranges (max - min). The Z smallest rows are small, Z the least for which the
/// smallest large row, by its share of the ranges of all large ones, deserves more than one small row; small
/// rows are dealt out by these shares. Throws Error unless there are three ranges or more, finite, not
/// negative and not all 0.
std::vector<HouseholderGroup> householder_groups(std::span<const double> ranges);

/// x (rows x cols) rounded with the numbers of `rng`, or to the nearest points where it is null; ranges are
/// those of its rows (row_ranges, min_max). Bitwise the same for any number of threads and any kernel table.
template <class T>
void round_householder(std::int64_t rows, std::int64_t cols, const T* x, std::span<const Interval<T>> ranges,
                       std::span<const HouseholderGroup> groups, int bins, const Rng* rng, T* y);

/// y = T (x - c 1'), and its inverse x = T^-1 y + c 1', with the rows of y in the order of those of x. For analysis.
void householder_transform(std::int64_t cols, std::span<const Interval<double>> ranges,
                           std::span<const HouseholderGroup> groups, const double* x, double* y);
void householder_inverse(std::int64_t cols, std::span<const Interval<double>> ranges,
                         std::span<const HouseholderGroup> groups, const double* y, double* x);

}  // namespace coarsegrad
