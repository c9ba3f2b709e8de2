// Elementwise ops: each is one function with its derivative beside it.
#include <cmath>
#include <type_traits>

#include "core/base/check.h"
#include "core/compute/elementwise.h"
#include "core/compute/random.h"
#include "core/map.h"
#include "core/normalization.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

// Brings both operands to their common shape. Tensors of that shape already are shared, not copied.
struct Operands {
  Tensor a, b;
};
Operands broadcast(const char* op, const Var& a, const Var& b) {
  if (a.shape() == b.shape()) return {a.value(), b.value()};
  const Shape shape = broadcast_shape(op, a.shape(), b.shape());
  return {broadcast_to(a.value(), shape), broadcast_to(b.value(), shape)};
}

Tensor hadamard(const Tensor& a, const Tensor& b) {
  return zip(a, b, [](Real x, Real y) { return x * y; });
}

// y = f(x), f a function of one element or a sweep (n, x, y) of core/compute/elementwise.h.
template <class F>
Tensor apply(const F& f, const Tensor& x) {
  if constexpr (std::is_invocable_v<F, Real>) {
    return map(x, f);
  } else {
    Tensor y = Tensor::uninitialized(x.shape());
    f(x.numel(), x.data(), y.mutable_data());
    return y;
  }
}

// An op y = f(x) with derivative d(x): keeps x.
template <class F, class D>
Var from_input(const char* op, const Var& x, F f, D d, const LazyAttributes& attributes = {}) {
  const Tensor in = x.value();
  return record(
      op, apply(f, in), {x},
      [in, d](const Tensor& g) -> Gradients { return {zip(g, in, [d](Real dy, Real v) { return dy * d(v); })}; },
      attributes);
}

// An op y = f(x) whose derivative is d(y): keeps y.
template <class F, class D>
Var from_output(const char* op, const Var& x, F f, D d) {
  const Tensor out = apply(f, x.value());
  return record(op, out, {x}, [out, d](const Tensor& g) -> Gradients {
    return {zip(g, out, [d](Real dy, Real y) { return dy * d(y); })};
  });
}

}  // namespace

Var operator+(const Var& a, const Var& b) {
  Tensor y = normalization_with_shortcut(a, b);
  if (!y.defined()) {
    const auto [p, q] = broadcast("add", a, b);
    y = zip(p, q, [](Real u, Real v) { return u + v; });
  }
  return record("add", y, {a, b}, [](const Tensor& g) -> Gradients { return {g, g}; });
}

Var operator-(const Var& a, const Var& b) {
  const auto [p, q] = broadcast("subtract", a, b);
  return record("subtract", zip(p, q, [](Real x, Real y) { return x - y; }), {a, b}, [](const Tensor& g) -> Gradients {
    return {g, map(g, [](Real d) { return -d; })};
  });
}

Var operator*(const Var& a, const Var& b) {
  const auto [p, q] = broadcast("multiply", a, b);
  return record("multiply", hadamard(p, q), {a, b}, [p = p, q = q](const Tensor& g) -> Gradients {
    return {hadamard(g, q), hadamard(g, p)};
  });
}

Var operator/(const Var& a, const Var& b) {
  const auto [p, q] = broadcast("divide", a, b);
  const Tensor y = zip(p, q, [](Real x, Real z) { return x / z; });
  return record("divide", y, {a, b}, [y, q = q](const Tensor& g) -> Gradients {
    const Tensor da = zip(g, q, [](Real d, Real z) { return d / z; });
    return {da, zip(da, y, [](Real d, Real r) { return -d * r; })};
  });
}

Var operator-(const Var& a) {
  const auto negate = [](Real x) { return -x; };
  return record("negate", map(a.value(), negate), {a},
                [negate](const Tensor& g) -> Gradients { return {map(g, negate)}; });
}

Var exp(const Var& x) {
  return from_output("exp", x, exp_forward<Real>, [](Real y) { return y; });
}

Var log(const Var& x) {
  return from_input("log", x, log_forward<Real>, [](Real v) { return 1 / v; });
}

Var tanh(const Var& x) {
  return from_output("tanh", x, tanh_forward<Real>, [](Real y) { return 1 - y * y; });
}

Var sigmoid(const Var& x) {
  return from_output("sigmoid", x, sigmoid_forward<Real>, [](Real y) { return y * (1 - y); });
}

Var clamp(const Var& x, Real lower, Real upper) {
  check(lower <= upper, "clamp: given bounds ", lower, " and ", upper, ", expected lower <= upper");
  return from_input(
      "clamp", x, [=](Real v) { return v < lower   ? lower
                                       : v > upper ? upper
                                                   : v; },
      [=](Real v) { return Real(v >= lower && v <= upper); },
      [&] {
        return Attributes{{"lower", lower}, {"upper", upper}};
      });
}

Var abs(const Var& x) {
  return from_input(
      "abs", x, [](Real v) { return std::abs(v); }, [](Real v) { return Real(v > 0) - Real(v < 0); });
}

Var sqrt(const Var& x) {
  return from_output(
      "sqrt", x, [](Real v) { return std::sqrt(v); }, [](Real y) { return Real(0.5) / y; });
}

Var square(const Var& x) {
  return from_input(
      "square", x, [](Real v) { return v * v; }, [](Real v) { return 2 * v; });
}

Var dropout(const Var& x, Real p, Rng& rng) {
  check(p >= 0 && p < 1, "dropout: given p = ", p, ", expected 0 <= p < 1");
  Tensor factor = Tensor::uninitialized(x.shape());
  rng.uniform(factor.mutable_data(), static_cast<std::size_t>(factor.numel()));
  factor = map(factor, [p](Real u) { return u < p ? Real(0) : 1 / (1 - p); });
  return record(
      "dropout", hadamard(x.value(), factor), {x},
      [factor](const Tensor& g) -> Gradients { return {hadamard(g, factor)}; },
      [p] {
        return Attributes{{"p", p}};
      });
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
