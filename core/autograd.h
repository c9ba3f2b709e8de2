#pragma once
// Reverse-mode differentiation. An op computes on tensors and records a function from the gradient of its output to
// the gradients of its inputs. The engine sums, un-broadcasts and frees. Nodes link nodes and never hold values: what a
// backward pass needs is exactly what its closure has captured.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/attributes.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// One gradient per input, in order. An undefined tensor means: no gradient for this input.
using Gradients = std::vector<Tensor>;
/// Pure function from the gradient of the output to those of the inputs. Each may have the input's own shape
/// or the broadcast one (the engine sums it down). Capture tensors, not Vars: a captured Var would keep its
/// history alive.
using Backward = std::function<Gradients(const Tensor& grad)>;

namespace graph {
struct Node;
}

/// A tensor with a history: the ops that have led to it, as far as a gradient is wanted.
class Var {
 public:
  /// No value: defined() is false.
  Var() = default;
  /// A constant: no gradient flows into it.
  Var(Tensor constant);  // NOLINT(google-explicit-constructor): constants flow into ops
  Var(Real constant);    // NOLINT(google-explicit-constructor)
  /// A leaf whose gradient is wanted; it accumulates over calls of backward() until zero_grad().
  static Var leaf(Tensor value);

  /// Whether there is a value.
  bool defined() const { return value_.defined(); }
  /// The tensor itself, undefined where there is none.
  const Tensor& value() const { return value_; }
  /// The extents of the value.
  const Shape& shape() const { return value_.shape(); }
  /// Number of elements; 0 where there is no value.
  std::int64_t numel() const { return value_.numel(); }
  /// The only element. Throws Error unless there is exactly one.
  Real item() const { return value_.item(); }
  /// Whether it is a leaf, or has a leaf in its history.
  bool requires_grad() const { return node_ != nullptr; }
  /// The gradient accumulated in a leaf; undefined before the first backward pass. Throws Error on a constant.
  const Tensor& grad() const;
  /// Drops the gradient accumulated in a leaf.
  void zero_grad();
  /// The same value as a constant.
  Var detach() const;
  /// Runs the history backwards from this Var and frees it on the way. Throws Error unless it has a history, which no
  /// earlier pass has used up, and one element.
  void backward() const;
  /// Runs backwards from a Var of any shape, whose gradient is `seed`. Throws Error where the shapes differ.
  void backward(const Tensor& seed) const;

 private:
  friend Var record(const char*, Tensor, const std::vector<Var>&, Backward, const LazyAttributes&);
  friend class Parameter;
  friend class Tracer;
  Tensor value_;
  std::shared_ptr<graph::Node> node_;
  std::uint64_t mark_ = 0;  // what a tracer knows it by
};

/// The result of an op: `value` with the history that leads to `inputs`. Where no input requires a gradient,
/// or inside a NoGrad scope, the result is a constant and `backward` is dropped. `attributes` is what a graph
/// of the network says of the op beside its inputs (core/tracer.h). Users write their own ops with it:
///   Var cube(const Var& x) {
///     const Tensor v = x.value();
///     return record("cube", map(v, [](Real a) { return a * a * a; }), {x}, [v](const Tensor& g) -> Gradients {
///       return {zip(g, v, [](Real d, Real a) { return d * 3 * a * a; })};
///     });
///   }
Var record(const char* op, Tensor value, const std::vector<Var>& inputs, Backward backward,
           const LazyAttributes& attributes = {});

/// No history is recorded by this thread while one is in scope.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  /// Not copied: each scope restores what it has found.
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool saved_;
};
/// False inside a NoGrad scope.
bool grad_enabled();

/// A trained tensor. It carries what an update rule must know and nothing about quantization: `value` is the
/// float copy that the optimizer moves; `effective`, where defined, is R(value), what the forward pass computes with.
class Parameter {
 public:
  /// Begins with `init`; the shape stays.
  explicit Parameter(Tensor init);

  Tensor value;            ///< the float copy
  Tensor effective;        ///< of the same shape; undefined where the forward pass computes with `value`
  double rate_factor = 1;  ///< multiplies the learning rate
  bool decay = true;       ///< takes part in weight decay
  /// A closed interval.
  struct Bounds {
    Real lower,  ///< lower end
        upper;   ///< upper end
  };
  std::optional<Bounds> bounds;  ///< the optimizer clamps the value to [lower, upper] after each step

  /// The leaf that ops see: `effective` where it is defined, else `value`.
  Var var() const;
  /// The accumulated gradient; undefined before the first backward pass.
  const Tensor& grad() const;
  /// Replaces the gradient. Throws Error unless it is undefined or of the shape of `value`.
  void set_grad(Tensor grad);
  /// Drops the gradient.
  void zero_grad();

 private:
  std::shared_ptr<graph::Node> node_;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
