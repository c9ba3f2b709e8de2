#pragma once
// Kernels for pooling on channels-last images: one call does a run of output pixels of one output row whose
// windows have the same size. Every table gives the same bits.
#include <cstdint>

namespace coarsegrad::kernels {

/// `count` windows of rows x cols pixels, `channels` values each. x points to the first value of the first
/// window; outputs lie one after another. Tap (i, j) of a window has the number first + i * number_pitch + j: its
/// place in the window before the padding was cut off.
struct PoolRun {
  std::int64_t count,  ///< windows
      step,            ///< values from one window's beginning to the next one's
      rows,            ///< pixels of a window, vertically
      cols,            ///< pixels of a window, horizontally
      row_pitch,       ///< values from the beginning of a window's row to that of the next
      channels;        ///< values per pixel
  std::int32_t first,  ///< number of tap (0, 0)
      number_pitch;    ///< by which a tap's number exceeds that of the tap above
};

/// Pooling of one run of windows.
template <class T>
struct Pool {
  /// y = largest value of the window; number = its tap (may be null). The first of several equal ones; if
  /// there is a NaN, the last NaN.
  void (*max_forward)(const PoolRun& run, const T* x, T* y, std::uint16_t* number);
  /// dx of tap number[o] += dy[o], in the order of the windows. The windows may overlap.
  void (*max_backward)(const PoolRun& run, const T* dy, const std::uint16_t* number, T* dx);
  /// max_backward for windows that do not overlap: writes dy or 0 to every tap, so that dx need not be set before.
  void (*max_backward_disjoint)(const PoolRun& run, const T* dy, const std::uint16_t* number, T* dx);
  /// y = (sum of the window, tap by tap) / divisor.
  void (*average_forward)(const PoolRun& run, const T* x, T divisor, T* y);
  /// dx of every tap += dy / divisor, in the order of the windows.
  void (*average_backward)(const PoolRun& run, const T* dy, T divisor, T* dx);
};

}  // namespace coarsegrad::kernels
