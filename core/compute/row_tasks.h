#pragma once
// Sweeps over the columns of a row-major matrix.
#include <algorithm>
#include <cstdint>

#include "core/base/parallel.h"

namespace coarsegrad {

/// How a sweep over the columns of a row-major matrix is cut into tasks. A narrow matrix is swept as a wider one, some
/// of its rows side by side: vectors are full then, and each column has several independent sums.
class RowTasks {
 public:
  /// At most max_tasks tasks for a matrix of this shape.
  RowTasks(std::int64_t rows, std::int64_t cols, std::int64_t max_tasks = std::int64_t{1} << 40)
      : rows_(rows), cols_(cols), fold_(fold_of(cols)) {
    const std::int64_t least = std::max(
        {(rows + max_tasks - 1) / max_tasks, kTaskElements / std::max<std::int64_t>(cols, 1), std::int64_t{1}});
    step_ = (least + fold_ - 1) / fold_ * fold_;
  }
  /// Tasks of sums over rows: few enough that their partial sums take little memory and time.
  static RowTasks for_sums(std::int64_t rows, std::int64_t cols) {
    constexpr std::int64_t most_tasks = 256, most_sums = std::int64_t{1} << 20;
    return {rows, cols, std::clamp<std::int64_t>(most_sums / std::max<std::int64_t>(cols, 1), 1, most_tasks)};
  }

  /// Number of tasks.
  std::int64_t count() const { return (rows_ + step_ - 1) / step_; }
  /// Rows of the matrix that lie side by side in one of the wider matrix.
  std::int64_t fold() const { return fold_; }
  /// Columns of the wider matrix: what working space for one value per column needs.
  std::int64_t wide_cols() const { return fold_ * cols_; }

  /// Rows of the matrix that task t sweeps.
  std::int64_t rows_of(std::int64_t t) const { return std::min(step_, rows_ - t * step_); }
  /// Writes a value per column of the matrix as one per column of the wider matrix. `wide` may be `columns`.
  template <class T>
  void repeat(const T* columns, T* wide) const {
    for (std::int64_t first = 0; first < wide_cols(); first += cols_)
      for (std::int64_t c = 0; c < cols_; ++c) wide[first + c] = columns[c];
  }
  /// Adds one value per column of a sweep's matrix (wide or not) to one per column of the matrix.
  void add_folded(const double* wide, std::int64_t sweep_cols, double* columns) const {
    for (std::int64_t first = 0; first < sweep_cols; first += cols_)
      for (std::int64_t c = 0; c < cols_; ++c) columns[c] += wide[first + c];
  }

  /// Calls f(first element, rows, columns) for the one or two matrices that make up task t: the folded rows,
  /// then the few that are left over.
  template <class F>
  void sweep(std::int64_t t, F&& f) const {
    const std::int64_t begin = t * step_, n = rows_of(t), left = n % fold_;
    if (n > left) f(begin * cols_, (n - left) / fold_, fold_ * cols_);
    if (left > 0) f((begin + n - left) * cols_, left, cols_);
  }

 private:
  // The first fold that makes at least 64 columns of which at most a tenth is wasted by vectors of 16.
  static std::int64_t fold_of(std::int64_t cols) {
    if (cols < 1 || cols >= 64) return 1;
    std::int64_t fold = (64 + cols - 1) / cols;
    while (10 * fold * cols < 9 * ((fold * cols + 15) / 16 * 16)) ++fold;
    return fold;
  }

  std::int64_t rows_, cols_, fold_, step_;
};

}  // namespace coarsegrad
