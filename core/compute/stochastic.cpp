#include "core/compute/stochastic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

template <class T>
Interval<T> range_of(std::int64_t n, const T* x) {
  Interval<T> r;
  real_kernels<T>().stochastic.range(n, x, &r.low, &r.high);
  return r;
}

template <class T>
Interval<T> as_kind(Interval<T> r, RowRange kind) {
  if (kind == RowRange::min_max) return r;
  const T most = std::max(-r.low, r.high);
  return {-most, most};
}

// Long rows are cut into pieces, short ones are put together. f(row, begin, end) for whole rows or pieces.
constexpr std::int64_t pieces_of(std::int64_t cols) { return (cols + kTaskElements - 1) / kTaskElements; }

template <class F>
void for_pieces(std::int64_t rows, std::int64_t cols, F f) {
  const std::int64_t pieces = pieces_of(cols);
  if (pieces > 1)
    return parallel_for(rows * pieces, [&](std::int64_t t) {
      const std::int64_t begin = t % pieces * kTaskElements;
      f(t / pieces, begin, std::min(begin + kTaskElements, cols));
    });
  const std::int64_t step = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>(cols, 1), 1);
  parallel_ranges(rows, step, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) f(row, 0, cols);
  });
}

// Intervals shorter than this have differences of interest that are no normal numbers.
template <class T>
constexpr T kShortest = std::numeric_limits<T>::min() * 65536;

// Whether T holds what a grid over this interval needs. An interval that is NaN needs no more than NaN.
template <class T>
bool fits(Interval<T> range, int bins) {
  const double length = range.wide_length();
  return sizeof(T) == sizeof(double) || length == 0 ||
         !(length < kShortest<T> || length > std::numeric_limits<T>::max() ||
           bins / length < std::numeric_limits<T>::min());
}

template <class T>
void round_wide(std::int64_t n, Interval<T> range, int bins, const std::uint16_t* draws, const T* x, T* y) {
  double wide[RoundingDraws::kMost];
  std::copy_n(x, n, wide);
  const Grid<double> grid = grid_over(Interval<double>{range.low, range.high}, bins);
  real_kernels<double>().stochastic.round(n, grid, draws, wide, wide);
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(wide[i]);
}

// f(first, n, draws) for the elements [first, first + n) that columns [begin, end) of a row consist of.
template <class F>
void for_draws(std::int64_t row, std::int64_t cols, std::int64_t begin, std::int64_t end, const Rng* rng, F f) {
  for (std::int64_t column = begin; column < end; column += RoundingDraws::kMost) {
    const std::int64_t n = std::min(RoundingDraws::kMost, end - column);
    const RoundingDraws draws(rng, row, cols, column, n);
    f(row * cols + column, n, draws.data());
  }
}

// Columns [begin, end) of a row of x, rounded.
template <class T>
void round_piece(std::int64_t row, std::int64_t cols, std::int64_t begin, std::int64_t end, Interval<T> range, int bins,
                 const Rng* rng, const T* x, T* y) {
  const bool narrow = fits(range, bins);
  const Grid<T> grid = grid_over(range, bins);
  for_draws(row, cols, begin, end, rng, [&](std::int64_t first, std::int64_t n, const std::uint16_t* draws) {
    if (narrow)
      real_kernels<T>().stochastic.round(n, grid, draws, x + first, y + first);
    else
      round_wide(n, range, bins, draws, x + first, y + first);
  });
}

}  // namespace

template <class T>
Interval<T> hull(Interval<T> a, Interval<T> b) {
  if (!(a.low <= a.high)) return a;
  if (!(b.low <= b.high)) return b;
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

template <class T>
Grid<T> grid_over(Interval<T> range, int bins) {
  check(bins >= 1 && bins <= 255, "grid: given ", bins, " bins, expected 1 to 255");
  const T length = range.length(), center = range.low + length / 2, count = static_cast<T>(bins);
  if (length == 0) return {center, 0, 0, bins};
  const T spanned = length < kShortest<T> ? kShortest<T> : length;  // NaN stays
  return {center, spanned / count, count / spanned, bins};
}

template <class T>
void row_ranges(std::int64_t rows, std::int64_t cols, const T* x, RowRange kind, Interval<T>* ranges) {
  if (cols == 0) {
    std::fill_n(ranges, rows, Interval<T>{0, 0});
    return;
  }
  const std::int64_t pieces = pieces_of(cols);
  const Scratch<Interval<T>> parts(static_cast<std::size_t>(rows * pieces));
  for_pieces(rows, cols, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(row * pieces + begin / kTaskElements)] =
        range_of(end - begin, x + row * cols + begin);
  });
  for (std::int64_t row = 0; row < rows; ++row) {
    const Interval<T>* part = parts.data() + row * pieces;
    Interval<T> whole = part[0];
    for (std::int64_t p = 1; p < pieces; ++p) whole = hull(whole, part[p]);
    ranges[row] = as_kind(whole, kind);
  }
}

RoundingDraws::RoundingDraws(const Rng* rng, std::int64_t row, std::int64_t cols, std::int64_t column, std::int64_t n)
    : drawn_(rng != nullptr) {
  if (!rng) return;
  std::uint32_t words[kMost / 2];
  const auto block = static_cast<std::uint64_t>(row * blocks_of_row(cols) + column / kDrawsPerBlock);
  const auto count = static_cast<std::size_t>((n + 1) / 2);
  Rng::at(rng->key(), rng->position() + block).bits(words, count);
  std::memcpy(draws_, words, count * sizeof *words);
}

template <class T>
void round_rows(std::int64_t rows, std::int64_t cols, const T* x, RowRange kind, int bins, const Rng* rng, T* y,
                Interval<T>* ranges) {
  if (rows * cols == 0) return;
  const Scratch<Interval<T>> own(static_cast<std::size_t>(ranges ? 0 : rows));
  if (!ranges) ranges = own.data();
  if (pieces_of(cols) > 1) {
    row_ranges(rows, cols, x, kind, ranges);
    return round_onto(rows, cols, x, ranges, bins, rng, y);
  }
  for_pieces(rows, cols, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    ranges[row] = as_kind(range_of(end - begin, x + row * cols), kind);  // leaves the row in the cache
    round_piece(row, cols, begin, end, ranges[row], bins, rng, x, y);
  });
}

template <class T>
void round_onto(std::int64_t rows, std::int64_t cols, const T* x, const Interval<T>* ranges, int bins, const Rng* rng,
                T* y) {
  for_pieces(rows, cols, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    round_piece(row, cols, begin, end, ranges[row], bins, rng, x, y);
  });
}

template <class T>
bool has_codes(Interval<T> range, int bins) {
  return std::isfinite(range.low) && std::isfinite(range.high) && fits(range, bins);
}

template <class T>
void encode_onto(std::int64_t rows, std::int64_t cols, const T* x, const Interval<T>* ranges, int bins, const Rng* rng,
                 std::uint8_t* codes) {
  for_pieces(rows, cols, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    const Grid<T> grid = grid_over(ranges[row], bins);
    for_draws(row, cols, begin, end, rng, [&](std::int64_t first, std::int64_t n, const std::uint16_t* draws) {
      real_kernels<T>().stochastic.encode(n, grid, draws, x + first, codes + first);
    });
  });
}

#define COARSEGRAD_INSTANTIATE(T)                                                                              \
  template Interval<T> hull(Interval<T>, Interval<T>);                                                         \
  template Grid<T> grid_over(Interval<T>, int);                                                                \
  template void row_ranges(std::int64_t, std::int64_t, const T*, RowRange, Interval<T>*);                      \
  template void round_rows(std::int64_t, std::int64_t, const T*, RowRange, int, const Rng*, T*, Interval<T>*); \
  template void round_onto(std::int64_t, std::int64_t, const T*, const Interval<T>*, int, const Rng*, T*);     \
  template bool has_codes(Interval<T>, int);                                                                   \
  template void encode_onto(std::int64_t, std::int64_t, const T*, const Interval<T>*, int, const Rng*, std::uint8_t*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
