#pragma once
// Tensors around one of their axes.
#include <cstdint>

#include "core/base/shape.h"

namespace coarsegrad {

/// A shape seen as (outer, extent, inner) around one of its axes: element (o, i, k) lies at (o * extent + i) * inner +
/// k.
struct AxisView {
  std::int64_t outer = 1;  ///< product of the extents of the axes before it
  std::int64_t extent;     ///< length of the axis
  std::int64_t inner = 1;  ///< product of the extents of the axes behind it

  /// A negative axis counts from the end. Throws Error where the shape has no such axis.
  AxisView(const Shape& s, int axis) : extent(s[axis]) {
    const int a = axis < 0 ? axis + s.rank() : axis;
    for (int i = 0; i < a; ++i) outer *= s[i];
    for (int i = a + 1; i < s.rank(); ++i) inner *= s[i];
  }
};

}  // namespace coarsegrad
