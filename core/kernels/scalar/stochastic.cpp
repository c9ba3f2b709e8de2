#include "core/kernels/stochastic.h"

#include <cmath>
#include <limits>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class T>
T combination(const Combination<T>& f, T x, T t) {
  return std::fma(f.a, x - f.center, std::fma(f.b, t, f.c));
}

// Smallest and largest of x(i), i < n.
template <class T, class X>
void extremes(std::int64_t n, X x, T* low, T* high) {
  *low = *high = x(0);
  bool finite = true;
  for (std::int64_t i = 0; i < n; ++i) {
    const T v = x(i);
    if (v < *low) *low = v;
    if (v > *high) *high = v;
    finite = finite && std::isfinite(v);
  }
  *low += 0;  // -0 becomes +0
  *high += 0;
  if (!finite) *low = *high = std::numeric_limits<T>::quiet_NaN();
}

// The index of the point that x is rounded to; NaN for NaN.
template <class T>
T index_of(const Grid<T>& grid, const std::uint16_t* draw, T x) {
  const T bins = static_cast<T>(grid.bins), half = bins / 2;
  T q = std::fma(x - grid.center, grid.inverse, half);
  if (q > bins) q = bins;
  if (q < 0) q = 0;
  T k = std::floor(q);
  if (!draw)
    k = std::nearbyint(q);
  else if (static_cast<T>(*draw) < std::fma(q - k, T(65536), T(-0.5)))
    k += 1;
  return k;
}

template <class T>
T point_of(const Grid<T>& grid, T index) {
  return std::fma(index - static_cast<T>(grid.bins) / 2, grid.step, grid.center);
}

template <class T>
T rounded(const Grid<T>& grid, const std::uint16_t* draw, T x) {
  return point_of(grid, index_of(grid, draw, x));
}

template <class T>
void range(std::int64_t n, const T* x, T* low, T* high) {
  extremes(
      n, [x](std::int64_t i) { return x[i]; }, low, high);
}

template <class T>
void round(std::int64_t n, const Grid<T>& grid, const std::uint16_t* draws, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = rounded(grid, draws ? draws + i : nullptr, x[i]);
}

template <class T>
void encode(std::int64_t n, const Grid<T>& grid, const std::uint16_t* draws, const T* x, std::uint8_t* codes) {
  for (std::int64_t i = 0; i < n; ++i)
    codes[i] = static_cast<std::uint8_t>(index_of(grid, draws ? draws + i : nullptr, x[i]));
}

template <class T>
void decode(std::int64_t n, const Grid<T>& grid, const std::uint8_t* codes, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = point_of(grid, static_cast<T>(codes[i]));
}

template <class T>
void combine(std::int64_t n, const Combination<T>& f, const T* x, const T* t, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = combination(f, x[i], t[i]);
}

template <class T>
void combined_range(std::int64_t n, const Combination<T>& f, const T* x, const T* t, T* low, T* high) {
  extremes(
      n, [&f, x, t](std::int64_t i) { return combination(f, x[i], t[i]); }, low, high);
}

template <class T>
void round_combined(std::int64_t n, const Combination<T>& f, const Grid<T>& grid, const std::uint16_t* draws,
                    const T* x, const T* t, T v, T* y, T* back) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = rounded(grid, draws ? draws + i : nullptr, combination(f, x[i], t[i]));
    back[i] = std::fma(v, y[i], back[i]);
  }
}

template <class T>
constexpr Stochastic<T> table{range<T>,   round<T>,          encode<T>,        decode<T>,
                              combine<T>, combined_range<T>, round_combined<T>};

}  // namespace

const Stochastic<float> stochastic = table<float>;
const Stochastic<double> stochastic_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
