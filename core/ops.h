#pragma once
// Every differentiable op, one line of mathematics each. All throw Error "op: given, expected" on shapes that
// do not fit. Binary arithmetic broadcasts (axes matched from the end, extent 1 stretches). Images are (N, H,
// W, C). How to add one: core/README.md.
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/autograd.h"

namespace coarsegrad {
class Rng;
inline namespace COARSEGRAD_REAL {

// --- Elementwise (core/ops_elementwise.cpp)
/// a + b, a - b, a * b, a / b element by element.
Var operator+(const Var& a, const Var& b);
Var operator-(const Var& a, const Var& b);
Var operator*(const Var& a, const Var& b);
Var operator/(const Var& a, const Var& b);
/// -a
Var operator-(const Var& a);
/// e^x
Var exp(const Var& x);
/// Natural logarithm of x
Var log(const Var& x);
/// Hyperbolic tangent of x
Var tanh(const Var& x);
/// 1 / (1 + e^-x)
Var sigmoid(const Var& x);
/// max(x, 0); derivative 0 at 0
Var relu(const Var& x);
/// min(max(x, lower), upper); derivative 1 on [lower, upper]. NaN stays NaN.
Var clamp(const Var& x, Real lower, Real upper);
/// |x|; derivative 0 at 0
Var abs(const Var& x);
/// Square root of x
Var sqrt(const Var& x);
/// x^2
Var square(const Var& x);
/// With probability p an element becomes 0, the others are divided by 1 - p; 0 <= p < 1. Draws x.numel() numbers.
Var dropout(const Var& x, Real p, Rng& rng);

// --- Linear algebra (core/ops_linear.cpp)
/// op(a) op(b) for two matrices, each optionally transposed.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false);
/// What the backward pass of linear and conv2d puts in place of the gradient g of their output, before its
/// two products: for_input(g) times the weight is the gradient of x, for_weight(g) times x that of the weight
/// (and its sum that of the bias). Both return a tensor of g's shape. An empty for_input stands for g, an
/// empty for_weight for what for_input gave, which is then called once.
struct OutputGradientMap {
  /// From g to a tensor of its shape.
  using Function = std::function<Tensor(const Tensor& g)>;
  Function for_input = {},  ///< what the gradient of x is computed from
      for_weight = {};      ///< what the gradients of weight and bias are computed from
};
/// x weight^T + bias; x (N, in), weight (out, in), bias (out) or undefined.
Var linear(const Var& x, const Var& weight, const Var& bias = {}, const OutputGradientMap& map = {});
/// Extents per axis: {vertical, horizontal}; one number stands for both.
struct HeightWidth {
  std::int64_t h,  ///< vertical
      w;           ///< horizontal
  /// The same number for both axes.
  constexpr HeightWidth(std::int64_t both) : h(both), w(both) {}  // NOLINT(google-explicit-constructor)
  /// Rows first, as everywhere.
  constexpr HeightWidth(std::int64_t vertical, std::int64_t horizontal) : h(vertical), w(horizontal) {}
  /// Whether both are in [lowest, 2^31]; beyond that sizes could overflow.
  constexpr bool in_range(std::int64_t lowest) const {
    return h >= lowest && w >= lowest && h <= std::int64_t{1} << 31 && w <= std::int64_t{1} << 31;
  }
  /// h and w, as an attribute of an op.
  std::vector<std::int64_t> extents() const { return {h, w}; }
};
/// What a convolution is told beside its tensors.
struct Conv2dOptions {
  HeightWidth stride = 1,      ///< pixels of x from output to output, >= 1
      padding = 0,             ///< zeros on either side, >= 0
      dilation = 1;            ///< pixels of x from tap to tap, >= 1
  std::int64_t groups = 1;     ///< parts of the channels that do not mix; divides C and O
  OutputGradientMap map = {};  ///< of the backward pass; empty: none
};
/// Cross-correlation; x (N, H, W, C), weight (O, kh, kw, C / groups), bias (O) or undefined; zero padding.
Var conv2d(const Var& x, const Var& weight, const Var& bias = {}, const Conv2dOptions& options = {});

// --- Pooling and normalisation (core/ops_image.cpp)
/// What a pooling is told beside its input.
struct PoolOptions {
  HeightWidth kernel = 2;                  ///< pixels of a window, >= 1
  std::optional<HeightWidth> stride = {};  ///< unset: the kernel's extents
  HeightWidth padding = 0;                 ///< at most half the kernel
};
/// Largest element of each window; the first one of equals receives the gradient.
Var max_pool2d(const Var& x, const PoolOptions& options = {});
/// Mean of each window, the padded zeros counted.
Var avg_pool2d(const Var& x, const PoolOptions& options = {});
/// (N, H, W, C) -> (N, C)
Var global_avg_pool2d(const Var& x);
/// Every `stride`-th pixel from the first one on, with `before` zeros in front of the channels of each and
/// `channels` - `before` behind. Codes stay codes. Throws Error unless 0 <= before <= channels.
Var subsample2d(const Var& x, HeightWidth stride, std::int64_t channels = 0, std::int64_t before = 0);
/// Statistics over all axes but the last (channels): (x - mean) / sqrt(var + eps) * scale + shift, with the
/// biased variance of the batch. scale and shift (C) may be undefined. If given, running_mean and running_var
/// (C) move by `momentum` towards the batch's mean and unbiased variance, as far as the largest finite number.
/// Throws Error for fewer than two values per channel, which have no such variance, unless eps is finite and
/// >= 0, and unless 0 <= momentum <= 1.
Var batch_norm(const Var& x, const Var& scale, const Var& shift, Real eps, Real momentum = 0,
               Tensor* running_mean = nullptr, Tensor* running_var = nullptr);
/// Batch normalisation with given statistics (C), which no gradient flows through: evaluation mode.
Var batch_norm_eval(const Var& x, const Var& scale, const Var& shift, const Tensor& mean, const Tensor& var, Real eps);

// --- Shape (core/ops_shape.cpp)
/// The same elements under another shape; one extent may be -1 and is worked out.
Var reshape(const Var& x, const std::vector<std::int64_t>& extents);
/// Elements [begin, end) along an axis (negative axes count from the end).
Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t end);
/// `before` and `after` zeros along an axis.
Var pad(const Var& x, int axis, std::int64_t before, std::int64_t after);
/// Joins along an axis; the other extents agree.
Var concatenate(const std::vector<Var>& parts, int axis);

// --- Reductions (core/ops_reduce.cpp)
/// Reduces all elements to a scalar; the sum of none is 0, mean and max of none throw.
Var sum(const Var& x);
Var mean(const Var& x);
Var max(const Var& x);
/// Reduces one axis, which keeps extent 1 with `keep_axis` and goes away otherwise.
Var sum(const Var& x, int axis, bool keep_axis = false);
Var mean(const Var& x, int axis, bool keep_axis = false);
/// Largest elements along one axis; the first of equal ones receives the gradient.
Var max(const Var& x, int axis, bool keep_axis = false);
/// x - log sum exp(x) along the last axis.
Var log_softmax(const Var& x);

// --- Losses (core/ops_loss.cpp)
/// Mean over the batch of -sum_c t_c log softmax(logits)_c with t = (1 - s) onehot + s / C, s =
/// label_smoothing. logits (N, C), labels (N) of int32, class indices from 0 to C - 1, N > 0.
Var cross_entropy(const Var& logits, const Tensor& labels, Real label_smoothing = 0);
/// Mean of (a - b)^2 over all elements; equal shapes.
Var mse_loss(const Var& a, const Var& b);
/// How many rows of logits (N, C) are largest at their label, the first of equal ones counting: labels (N) of
/// int32. Throws Error where a logit is NaN.
std::int64_t count_correct(const Tensor& logits, const Tensor& labels);
/// The share, 0 to 1, that count_correct() finds in a batch. Throws Error for an empty one.
double accuracy(const Tensor& logits, const Tensor& labels);

// --- On tensors, without history
/// x summed over the axes along which `shape` was broadcast to x's shape.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// x repeated to `shape`.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// y += x, equal shapes. A recipe becomes elements, kept as bfloat16 where one of the two is.
void add_to(Tensor& y, const Tensor& x);
/// Sum of all elements in a fixed order.
double total(const Tensor& x);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
