#pragma once
// Elementwise loops over tensors, for the ops of this library and for those of its users.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// y[i] = f(x[i]).
template <class F>
Tensor map(const Tensor& x, F f) {
  Tensor y = Tensor::uninitialized(x.shape());
  const Real* in = x.data();
  Real* out = y.mutable_data();
  parallel_ranges(x.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = f(in[i]);
  });
  return y;
}

/// y[i] = f(a[i], b[i]); a and b have the same shape.
template <class F>
Tensor zip(const Tensor& a, const Tensor& b, F f) {
  check(a.shape() == b.shape(), "zip: given shapes ", a.shape(), " and ", b.shape(), ", expected equal ones");
  Tensor y = Tensor::uninitialized(a.shape());
  const Real *p = a.data(), *q = b.data();
  Real* out = y.mutable_data();
  parallel_ranges(a.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = f(p[i], q[i]);
  });
  return y;
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
