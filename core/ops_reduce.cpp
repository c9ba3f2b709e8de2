// Sums, means, maxima and what broadcasting needs. Long sums run in double, in an order fixed by the shape.
#include <algorithm>
#include <cmath>
#include <memory>

#include "core/axis_view.h"
#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/elementwise.h"
#include "core/kept.h"
#include "core/map.h"
#include "core/ops.h"
#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

Shape without(const Shape& s, int axis) {
  const int a = axis < 0 ? axis + s.rank() : axis;
  std::vector<std::int64_t> kept;
  for (int i = 0; i < s.rank(); ++i)
    if (i != a) kept.push_back(s[i]);
  return Shape(kept.data(), static_cast<int>(kept.size()));
}

// What a reduction over one axis says of itself in a graph.
Attributes reduction(const Shape& in, int axis, bool keep_axis) {
  return {{"axis", axis < 0 ? axis + in.rank() : axis}, {"keep_axis", keep_axis}};
}

// Rows [begin, end) of a (rows, inner) block added up in double.
void add_rows(const Real* x, std::int64_t rows, std::int64_t inner, double* out) {
  std::fill_n(out, inner, 0.0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < inner; ++i) out[i] += x[r * inner + i];
}

// (outer, extent, inner) -> (outer, inner), the extent cut into pieces of fixed length whose sums are then
// combined, and divided by `count` before they are rounded to Real: a rounded reciprocal makes 41 / 41 less than 1.
Tensor sum_axis(const Tensor& x, int axis, double count = 1) {
  const FlushDenormals flush;
  const AxisView v(x.shape(), axis);
  constexpr std::int64_t kPiece = 4096;
  const std::int64_t rows = std::max<std::int64_t>(1, kPiece / std::max<std::int64_t>(1, v.inner));
  const std::int64_t pieces = std::max<std::int64_t>(1, (v.extent + rows - 1) / rows);
  Scratch<double> partial(static_cast<std::size_t>(v.outer * pieces * v.inner));
  parallel_for(v.outer * pieces, [&](std::int64_t t) {
    const std::int64_t o = t / pieces, begin = t % pieces * rows, end = std::min(v.extent, begin + rows);
    add_rows(x.data() + (o * v.extent + begin) * v.inner, end - begin, v.inner, partial.data() + t * v.inner);
  });
  Tensor y = Tensor::uninitialized(x.shape().with(axis, 1));
  Real* out = y.mutable_data();
  for (std::int64_t o = 0; o < v.outer; ++o) {
    double* first = partial.data() + o * pieces * v.inner;
    for (std::int64_t p = 1; p < pieces; ++p)
      for (std::int64_t i = 0; i < v.inner; ++i) first[i] += first[p * v.inner + i];
    for (std::int64_t i = 0; i < v.inner; ++i) out[o * v.inner + i] = static_cast<Real>(first[i] / count);
  }
  return y;
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape) {
  Tensor y = x;
  if (x.shape().rank() > shape.rank()) {  // all the leading axes at once
    std::int64_t lead = 1;
    const int extra = x.shape().rank() - shape.rank();
    for (int i = 0; i < extra; ++i) lead *= x.size(i);
    std::vector<std::int64_t> extents{lead};
    for (int i = extra; i < x.shape().rank(); ++i) extents.push_back(x.size(i));
    y = sum_axis(x.reshaped(Shape(extents.data(), static_cast<int>(extents.size()))), 0);
    y = y.reshaped(Shape(extents.data() + 1, shape.rank()));
  }
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] != y.size(i)) y = sum_axis(y, i);
  check(y.shape() == shape, "sum_to: given ", x.shape(), ", expected a shape that ", shape, " broadcasts to");
  return y;
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  check(broadcast_shape("broadcast_to", x.shape(), shape) == shape, "broadcast_to: given ", x.shape(), " and ", shape);
  Tensor y = Tensor::uninitialized(shape);
  std::int64_t stride[Shape::kMaxRank] = {};  // of x along each axis of y; 0 where it is repeated
  for (std::int64_t i = 1, step = 1; i <= x.shape().rank(); ++i) {
    const std::int64_t extent = x.size(static_cast<int>(-i));
    stride[shape.rank() - i] = extent == 1 ? 0 : step;
    step *= extent;
  }
  const int last = shape.rank() - 1;
  const std::int64_t inner = last >= 0 ? shape[last] : 1, rows = inner ? shape.numel() / inner : 0;
  const std::int64_t step = last >= 0 ? stride[last] : 0;
  const Real* in = x.data();
  Real* out = y.mutable_data();
  parallel_ranges(rows, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      std::int64_t rest = r, from = 0;
      for (int i = last - 1; i >= 0; --i) {
        from += rest % shape[i] * stride[i];
        rest /= shape[i];
      }
      if (step)
        std::copy_n(in + from, inner, out + r * inner);
      else
        std::fill_n(out + r * inner, inner, in[from]);
    }
  });
  return y;
}

void add_to(Tensor& y, const Tensor& x) {
  check(y.shape() == x.shape(), "add_to: given shapes ", y.shape(), " and ", x.shape(), ", expected equal ones");
  if (y.source() && (bfloat16_of(y) || bfloat16_of(x)))
    y = sum_as_bfloat16(y, x);
  else
    accumulate<Real>(x.numel(), x.data(), y.mutable_data());
}

double total(const Tensor& x) { return sum_axis(x.reshaped({x.numel()}), 0).item(); }

Var sum(const Var& x, int axis, bool keep_axis) {
  const Shape in = x.shape(), kept = in.with(axis, 1), out = keep_axis ? kept : without(in, axis);
  return record(
      "sum", sum_axis(x.value(), axis).reshaped(out), {x},
      [in, kept](const Tensor& g) -> Gradients { return {broadcast_to(g.reshaped(kept), in)}; },
      [&] { return reduction(in, axis, keep_axis); });
}

Var mean(const Var& x, int axis, bool keep_axis) {
  const std::int64_t n = x.shape()[axis];
  check(n > 0, "mean: given shape ", x.shape(), ", expected elements along axis ", axis);
  const Shape in = x.shape(), kept = in.with(axis, 1), out = keep_axis ? kept : without(in, axis);
  return record(
      "mean", sum_axis(x.value(), axis, static_cast<double>(n)).reshaped(out), {x},
      [in, kept, count = static_cast<Real>(n)](const Tensor& g) -> Gradients {
        const Tensor share = map(g.reshaped(kept), [count](Real v) { return v / count; });
        return {broadcast_to(share, in)};
      },
      [&] { return reduction(in, axis, keep_axis); });
}

Var max(const Var& x, int axis, bool keep_axis) {
  const Shape in = x.shape(), kept = in.with(axis, 1), out = keep_axis ? kept : without(in, axis);
  const AxisView v(in, axis);
  check(v.extent > 0, "max: given shape ", in, ", expected elements along axis ", axis);
  Tensor y = Tensor::uninitialized(out);
  const auto where = std::make_shared<Scratch<std::int64_t>>(static_cast<std::size_t>(y.numel()));
  for (std::int64_t j = 0; j < y.numel(); ++j) {
    const std::int64_t first = j / v.inner * v.extent * v.inner + j % v.inner;
    std::int64_t best = first;
    for (std::int64_t i = 1; i < v.extent; ++i)
      if (x.value()[first + i * v.inner] > x.value()[best] || std::isnan(x.value()[first + i * v.inner]))
        best = first + i * v.inner;
    y.mutable_data()[j] = x.value()[best];
    where->data()[j] = best;
  }
  return record(
      "max", y, {x},
      [in, where](const Tensor& g) -> Gradients {
        Tensor dx(in);
        Real* out_dx = dx.mutable_data();
        for (std::int64_t j = 0; j < g.numel(); ++j) out_dx[where->data()[j]] = g[j];
        return {dx};
      },
      [&] { return reduction(in, axis, keep_axis); });
}

Var sum(const Var& x) {
  return as_one_op(
      "sum", {}, [&x] { return reshape(sum(reshape(x, {x.numel()}), 0), {}); }, x);
}
Var mean(const Var& x) {
  check(x.numel() > 0, "mean: given no elements, expected at least one");
  return as_one_op(
      "mean", {}, [&x] { return reshape(mean(reshape(x, {x.numel()}), 0), {}); }, x);
}
Var max(const Var& x) {
  check(x.numel() > 0, "max: given no elements, expected at least one");
  return as_one_op(
      "max", {}, [&x] { return reshape(max(reshape(x, {x.numel()}), 0), {}); }, x);
}

Var log_softmax(const Var& x) {
  check(x.shape().rank() >= 1, "log_softmax: given a scalar, expected at least one axis");
  const std::int64_t classes = x.shape()[-1], rows = classes ? x.numel() / classes : 0;
  Tensor y = Tensor::uninitialized(x.shape());
  log_softmax_forward<Real>(rows, classes, x.value().data(), y.mutable_data());
  return record("log_softmax", y, {x}, [y, rows, classes](const Tensor& g) -> Gradients {
    Tensor dx = Tensor::uninitialized(y.shape());
    Real* d = dx.mutable_data();
    for (std::int64_t r = 0; r < rows; ++r) {
      double s = 0;
      for (std::int64_t c = 0; c < classes; ++c) s += g[r * classes + c];
      for (std::int64_t i = r * classes; i < (r + 1) * classes; ++i)
        d[i] = g[i] - std::exp(y[i]) * static_cast<Real>(s);
    }
    return {dx};
  });
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
