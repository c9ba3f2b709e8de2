// Ops that move elements. All work on a tensor seen as (outer, extent, inner) around one axis.
#include <algorithm>

#include "core/axis_view.h"
#include "core/base/check.h"
#include "core/map.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

// Copies `extent` steps of the axis, from step `from_step` of `from` to step `to_step` of `to`.
void copy_steps(const Tensor& from, std::int64_t from_step, Tensor& to, std::int64_t to_step, int axis,
                std::int64_t extent) {
  const AxisView f(from.shape(), axis), t(to.shape(), axis);
  const Real* in = from.data();
  Real* out = to.mutable_data();
  for (std::int64_t o = 0; o < f.outer; ++o)
    std::copy_n(in + (o * f.extent + from_step) * f.inner, extent * f.inner, out + (o * t.extent + to_step) * t.inner);
}

Tensor sliced(const Tensor& x, int axis, std::int64_t begin, std::int64_t end) {
  Tensor y = Tensor::uninitialized(x.shape().with(axis, end - begin));
  copy_steps(x, begin, y, 0, axis, end - begin);
  return y;
}

Tensor padded(const Tensor& x, int axis, std::int64_t before, std::int64_t after) {
  const std::int64_t n = x.size(axis);
  Tensor y(x.shape().with(axis, before + n + after));
  copy_steps(x, 0, y, before, axis, n);
  return y;
}

std::int64_t from_the_front(int axis, const Shape& s) { return axis < 0 ? axis + s.rank() : axis; }

Shape resolved(const Shape& from, std::vector<std::int64_t> extents) {
  const auto open = std::find(extents.begin(), extents.end(), -1);
  const int rank = static_cast<int>(extents.size());
  if (open == extents.end()) return Shape(extents.data(), rank);
  *open = 1;
  const std::int64_t known = Shape(extents.data(), rank).numel();  // refuses a second -1, and an overflow
  check(known > 0 && from.numel() % known == 0, "reshape: given ", from, ", expected a multiple of ", known,
        " elements");
  *open = from.numel() / known;
  return Shape(extents.data(), rank);
}

}  // namespace

Var reshape(const Var& x, const std::vector<std::int64_t>& extents) {
  const Shape from = x.shape();
  return record("reshape", x.value().reshaped(resolved(from, extents)), {x},
                [from](const Tensor& g) -> Gradients { return {g.reshaped(from)}; });
}

Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = x.shape()[axis];
  check(0 <= begin && begin <= end && end <= n, "slice: given [", begin, ", ", end, "), expected a part of [0, ", n,
        ")");
  return record(
      "slice", sliced(x.value(), axis, begin, end), {x},
      [=](const Tensor& g) -> Gradients { return {padded(g, axis, begin, n - end)}; },
      [&] {
        return Attributes{{"axis", from_the_front(axis, x.shape())}, {"begin", begin}, {"end", end}};
      });
}

Var pad(const Var& x, int axis, std::int64_t before, std::int64_t after) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  check(before >= 0 && after >= 0 && before <= most && after <= most, "pad: given ", before, " and ", after,
        ", expected 0 to ", most);
  const std::int64_t n = x.shape()[axis];
  return record(
      "pad", padded(x.value(), axis, before, after), {x},
      [=](const Tensor& g) -> Gradients { return {sliced(g, axis, before, before + n)}; },
      [&] {
        return Attributes{{"axis", from_the_front(axis, x.shape())}, {"before", before}, {"after", after}};
      });
}

Var concatenate(const std::vector<Var>& parts, int axis) {
  check(!parts.empty(), "concatenate: given no parts, expected at least one");
  std::int64_t extent = 0;
  for (const Var& part : parts) {
    const Shape& s = part.shape();
    check(s.rank() == parts[0].shape().rank() && s.with(axis, 0) == parts[0].shape().with(axis, 0),
          "concatenate: given ", parts[0].shape(), " and ", s, ", expected equal extents away from axis ", axis);
    extent += s[axis];
  }
  Tensor y = Tensor::uninitialized(parts[0].shape().with(axis, extent));
  std::vector<std::int64_t> ends;
  for (const Var& part : parts) {
    const std::int64_t n = part.shape()[axis], begin = ends.empty() ? 0 : ends.back();
    copy_steps(part.value(), 0, y, begin, axis, n);
    ends.push_back(begin + n);
  }
  return record(
      "concatenate", y, parts,
      [axis, ends](const Tensor& g) -> Gradients {
        Gradients grads;
        for (std::size_t i = 0; i < ends.size(); ++i) grads.push_back(sliced(g, axis, i ? ends[i - 1] : 0, ends[i]));
        return grads;
      },
      [&] {
        return Attributes{{"axis", from_the_front(axis, y.shape())}};
      });
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
