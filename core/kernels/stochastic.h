#pragma once
// Kernels for rounding onto uniform grids, stochastically or to the nearest point. All tables give the same
// bits: each operation is rounded by itself, fused multiply-adds are asked for by name.
#include <cstdint>

namespace coarsegrad::kernels {

/// The bins + 1 points center + (k - bins / 2) step, k = 0, ..., bins.
template <class T>
struct Grid {
  T center,   ///< middle of the grid
      step;   ///< distance of neighbouring points
  T inverse;  ///< 1 / step, or 0 for a grid whose points are all the same
  int bins;   ///< 1 to 255
};

/// y = a (x - center) + (b t + c), with two fused multiply-adds.
template <class T>
struct Combination {
  T a,         ///< factor of x
      center,  ///< subtracted from x
      b,       ///< factor of t
      c;       ///< constant term
};

/// Rounding of n elements onto a grid, and what comes before it.
template <class T>
struct Stochastic {
  /// Smallest and largest of n >= 1 elements, +0 for zeros; both NaN if one is NaN or infinite.
  void (*range)(std::int64_t n, const T* x, T* low, T* high);
  /// y = the point of the grid with index k, where q = (x - center) * inverse + bins / 2 (fused), clamped to
  /// [0, bins], lies between k and k + 1: k = floor(q), and one more where draws[i] < 2^16 (q - floor(q)) -
  /// 1/2 (fused), which happens with that probability rounded to a multiple of 2^-16. Without draws (null) k
  /// is the integer nearest to q, the even one of two. NaN for NaN. y may be x.
  void (*round)(std::int64_t n, const Grid<T>& grid, const std::uint16_t* draws, const T* x, T* y);
  /// codes = the indices k of the points that round() gives, for x without NaN.
  void (*encode)(std::int64_t n, const Grid<T>& grid, const std::uint16_t* draws, const T* x, std::uint8_t* codes);
  /// y = the points with these indices: what round() gives.
  void (*decode)(std::int64_t n, const Grid<T>& grid, const std::uint8_t* codes, T* y);
  /// y = the combination of x and t; y may be one of them.
  void (*combine)(std::int64_t n, const Combination<T>& factors, const T* x, const T* t, T* y);
  /// range() of what combine() gives.
  void (*combined_range)(std::int64_t n, const Combination<T>& factors, const T* x, const T* t, T* low, T* high);
  /// y = what round() makes of what combine() gives; back = v y + back (fused).
  void (*round_combined)(std::int64_t n, const Combination<T>& factors, const Grid<T>& grid, const std::uint16_t* draws,
                         const T* x, const T* t, T v, T* y, T* back);
};

}  // namespace coarsegrad::kernels
