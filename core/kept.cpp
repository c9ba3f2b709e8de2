#include "core/kept.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/precision.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

// What core/compute/precision.h does for float. Tensors of double are never kept as bfloat16.
template <class T>
struct Precision {
  static Elements<T> widened(const Bfloat16*) { return refuse(); }
  static ElementSink<T> rounded_into(Bfloat16*) { return refuse(); }
  static Elements<T> rounded_elements(const Elements<T>&) { return refuse(); }

 private:
  static T* refuse() { throw Error("bfloat16: given tensors of float64, expected float32"); }
};
template <>
struct Precision<float> {
  static Elements<float> widened(const Bfloat16* values) { return coarsegrad::widened(values); }
  static ElementSink<float> rounded_into(Bfloat16* values) { return coarsegrad::rounded_into(values); }
  static Elements<float> rounded_elements(const Elements<float>& x) { return coarsegrad::rounded_elements(x); }
};

// As many elements for a task as make whole granules of both.
std::int64_t step_of(const Tensor& a, const Tensor& b) {
  const auto granule = [](const Tensor& t) {
    return t.source() ? std::max<std::int64_t>(t.source()->granule(), 1) : std::int64_t{1};
  };
  const std::int64_t both = std::lcm(granule(a), granule(b));
  return (kTaskElements + both - 1) / both * both;
}

}  // namespace

Bfloat16Values::Bfloat16Values(std::int64_t size) : values_(static_cast<std::size_t>(size) * sizeof(Bfloat16)) {}

void Bfloat16Values::read(std::int64_t begin, std::int64_t end, Real* out) const {
  Precision<Real>::widened(data()).read(begin, end, out);
}

ElementSink<Real> rounded_sink(Bfloat16* values) { return Precision<Real>::rounded_into(values); }

const Bfloat16* bfloat16_of(const Tensor& t) {
  const Deferred* const source = t.source();
  return source ? source->bfloat16() : nullptr;
}

bool is_kept(const Tensor& t) { return !t.source() || bfloat16_of(t); }

Tensor kept_as(const Tensor& t, ComputeType type) {
  if (type == ComputeType::real || bfloat16_of(t)) return t;
  return written(t.shape(), type, [&t](const ElementSink<Real>& to) {
    const Elements<Real> all = t.elements();
    parallel_ranges(t.numel(), step_of(t, t), [&](std::int64_t begin, std::int64_t end) {
      to.write(begin, end, ElementWindow<Real>(all, begin, end).data());
    });
  });
}

Tensor sum_as_bfloat16(const Tensor& a, const Tensor& b) {
  return written(a.shape(), ComputeType::bfloat16, [&](const ElementSink<Real>& to) {
    const Elements<Real> left = a.elements(), right = b.elements();
    parallel_ranges(a.numel(), step_of(a, b), [&](std::int64_t begin, std::int64_t end) {
      const ElementWindow<Real> x(left, begin, end), y(right, begin, end);
      const SinkWindow<Real> sum(to, begin, end);
      std::transform(x.data(), x.data() + (end - begin), y.data(), sum.data(), [](Real p, Real q) { return p + q; });
    });
  });
}

Tensor rounded_for(ComputeType type, const Tensor& t) {
  if (type == ComputeType::real || bfloat16_of(t)) return t;
  Tensor rounded = Tensor::uninitialized(t.shape());
  Real* const to = rounded.mutable_data();
  const Elements<Real> unrounded = t.elements(), all = Precision<Real>::rounded_elements(unrounded);
  parallel_ranges(t.numel(), step_of(t, t),
                  [&](std::int64_t begin, std::int64_t end) { all.read(begin, end, to + begin); });
  return rounded;
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
