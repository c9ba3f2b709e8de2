#pragma once
// Elementwise loops over tensors, for the ops of this library and for those of its users.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// Calls f(begin, end) for pieces of [0, n) of fixed length, in parallel.
template <class F>
void parallel_pieces(std::int64_t n, F&& f) {
  constexpr std::int64_t kPiece = 16384;
  parallel_for((n + kPiece - 1) / kPiece, [&](std::int64_t t) { f(t * kPiece, std::min(n, (t + 1) * kPiece)); });
}

/// f(piece of `from`, piece of `to`), both spans, for pieces of n elements, in parallel.
template <class F>
void parallel_spans(std::int64_t n, const Real* from, Real* to, F&& f) {
  parallel_pieces(n, [&](std::int64_t begin, std::int64_t end) {
    const auto count = static_cast<std::size_t>(end - begin);
    f(std::span<const Real>(from + begin, count), std::span<Real>(to + begin, count));
  });
}

/// y[i] = f(x[i]).
template <class F>
Tensor map(const Tensor& x, F f) {
  Tensor y = Tensor::uninitialized(x.shape());
  const Real* in = x.data();
  Real* out = y.mutable_data();
  parallel_pieces(x.numel(), [&](std::int64_t begin, std::int64_t end) {
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
  parallel_pieces(a.numel(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = f(p[i], q[i]);
  });
  return y;
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
