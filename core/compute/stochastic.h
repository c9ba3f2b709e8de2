#pragma once
// Rounding onto uniform grids that follow the data: each row of a matrix onto the grid over its own interval,
// stochastically (the expectation is the value) or to the nearest point. T is float or double. Bitwise the
// same for any number of threads and any kernel table.
#include <cstdint>

#include "core/compute/random.h"
#include "core/kernels/stochastic.h"

namespace coarsegrad {

using kernels::Grid;

/// From the smallest to the largest of some elements; both NaN where one of them is NaN or infinite.
template <class T>
struct Interval {
  T low,     ///< smallest element
      high;  ///< largest element
  /// high - low, rounded to T.
  T length() const { return high - low; }
  /// high - low as a double: that of floats may be too large for a float, or too small.
  double wide_length() const { return static_cast<double>(high) - static_cast<double>(low); }
};

/// The smallest interval that holds both; NaN if one of them is.
template <class T>
Interval<T> hull(Interval<T> a, Interval<T> b);

/// The bins + 1 points from range.low to range.high. An interval of length 0 has one point, its value; very short ones
/// are widened so that neither step nor inverse leaves the normal numbers. Throws Error unless 1 <= bins <= 255.
template <class T>
Grid<T> grid_over(Interval<T> range, int bins);

/// What the grid of a row spans.
enum class RowRange {
  min_max,    ///< [min, max]
  symmetric,  ///< [-max|x|, max|x|]
};

/// The interval of each row of x, of the given kind.
template <class T>
void row_ranges(std::int64_t rows, std::int64_t cols, const T* x, RowRange kind, Interval<T>* ranges);
/// The interval of n elements, from the smallest to the largest.
template <class T>
Interval<T> value_range(std::int64_t n, const T* x) {
  Interval<T> range;
  row_ranges<T>(1, n, x, RowRange::min_max, &range);
  return range;
}

/// 16 random bits per element: a row begins with a 128-bit block of its own, which eight elements share.
constexpr std::int64_t kDrawsPerBlock = 8;
/// 128-bit blocks that a row of so many elements takes.
constexpr std::int64_t blocks_of_row(std::int64_t cols) { return (cols + kDrawsPerBlock - 1) / kDrawsPerBlock; }

/// The draws of up to kMost elements of a row from `column` on, a multiple of kDrawsPerBlock.
class RoundingDraws {
 public:
  /// Elements, at most.
  static constexpr std::int64_t kMost = 1024;
  /// The draws for n elements of row `row` of a matrix with `cols` columns, the first row beginning where `rng` stands;
  /// none, which rounds to the nearest point, where `rng` is null.
  RoundingDraws(const Rng* rng, std::int64_t row, std::int64_t cols, std::int64_t column, std::int64_t n);
  /// One draw per element; null where there are none.
  const std::uint16_t* data() const { return drawn_ ? draws_ : nullptr; }

 private:
  bool drawn_;
  alignas(64) std::uint16_t draws_[kMost];
};

/// Each row of x rounded onto the grid over its own interval, with the numbers of `rng` from where it stands, or
/// to the nearest point where it is null. A row that is not finite becomes NaN, a constant one stays as it
/// is. y may be x. `ranges`, if given, receives those of the rows. Where the length of an interval of floats, the
/// inverse of its step or 2^-16 of it is no normal float, the row is rounded in double; results below the
/// smallest normal number are 0 all the same.
template <class T>
void round_rows(std::int64_t rows, std::int64_t cols, const T* x, RowRange kind, int bins, const Rng* rng, T* y,
                Interval<T>* ranges = nullptr);
/// Each row of x rounded likewise onto the grid over an interval that is given.
template <class T>
void round_onto(std::int64_t rows, std::int64_t cols, const T* x, const Interval<T>* ranges, int bins, const Rng* rng,
                T* y);

/// Whether the points of the grid over this interval, and what is rounded onto them, can be written as codes: it is
/// finite, and T holds what a grid over it needs.
template <class T>
bool has_codes(Interval<T> range, int bins);
/// The indices of the points that round_onto() gives; has_codes() for all intervals.
template <class T>
void encode_onto(std::int64_t rows, std::int64_t cols, const T* x, const Interval<T>* ranges, int bins, const Rng* rng,
                 std::uint8_t* codes);

}  // namespace coarsegrad
