// Matrix products and convolution: shapes are checked here, the work is done by matrix_product.h and compute/conv.h.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/compute/bit_conv.h"
#include "core/compute/code_weights.h"
#include "core/compute/conv.h"
#include "core/compute/conv_bfloat16.h"
#include "core/compute/conv_codes_backward.h"
#include "core/compute/elementwise.h"
#include "core/kept.h"
#include "core/leveled.h"
#include "core/matrix_product.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

Tensor multiplied(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) {
  const std::int64_t m = a.size(transpose_a ? 1 : 0), k = a.size(transpose_a ? 0 : 1), n = b.size(transpose_b ? 0 : 1);
  Tensor c = Tensor::uninitialized({m, n});
  matrix_product<Real>(m, n, k, {a.data(), a.size(1), transpose_a}, {b.data(), b.size(1), transpose_b},
                       c.mutable_data(), n);
  return c;
}

// Sum of a (..., C) tensor over all axes but the last: the gradient of a bias.
Tensor sum_rows(const Tensor& g) {
  const std::int64_t channels = g.size(-1);
  Tensor sums = Tensor::uninitialized({channels});
  column_sums<Real>(channels ? g.numel() / channels : 0, channels, g.data(), sums.mutable_data());
  return sums;
}

// Integer codes are multiplied as integers, in training as in deployment, with weights that are packed once for every
// change. The kernels for that are float: false where x and w are not both codes, where no kernel multiplies these, or
// T is double.
template <class T>
bool multiply_codes(const ConvShape& s, const Tensor& x, const Tensor& w, const T* bias, const ElementSink<T>& y) {
  if constexpr (std::is_same_v<T, float>) {
    const Coded *a = x.coded(), *b = w.coded();
    if (!a || !b || a->scales().size() != 1 || !b->is_signed() || !multiplies_codes(a->code(), s)) return false;
    std::vector<T> scales;
    for (const T scale : b->scales()) scales.push_back(a->scales()[0] * scale);
    b->packed_for(a->code(), s)->forward(s, a->codes(), scales, bias, y);
    return true;
  }
  return false;
}

// The elements as a product of bfloat16 reads them.
template <class T>
Bfloat16Factor factor(const Tensor& t) {
  if (const Bfloat16* const kept = bfloat16_of(t)) return kept;
  const Elements<T> all = t.elements();
  return all;
}

// The same of a gradient. Gradients are read by the image and recipes of them by the byte of a mask: they are made
// before.
template <class T>
Bfloat16Factor gradient_factor(const Tensor& t) {
  if (!is_kept(t)) t.data();
  return factor<T>(t);
}

// The three products of a convolution, of Reals or of bfloat16.
template <class T>
void forward(const ConvShape& s, ComputeType type, const Tensor& x, const Tensor& w, const T* bias,
             const ElementSink<T>& y) {
  if constexpr (std::is_same_v<T, float>)
    if (type == ComputeType::bfloat16) return conv2d_forward_bfloat16(s, factor<T>(x), w.data(), bias, y);
  conv2d_forward<T>(s, x.elements(), w.data(), bias, y);
}

template <class T>
void backward_data(const ConvShape& s, ComputeType type, const Tensor& dy, const Tensor& w, const ElementSink<T>& dx) {
  if constexpr (std::is_same_v<T, float>)
    if (type == ComputeType::bfloat16) return conv2d_backward_data_bfloat16(s, gradient_factor<T>(dy), w.data(), dx);
  conv2d_backward_data<T>(s, dy.data(), w.data(), dx);
}

template <class T>
void backward_weight(const ConvShape& s, ComputeType type, const Tensor& x, const Tensor& dy, T* dw) {
  if constexpr (std::is_same_v<T, float>)
    if (type == ComputeType::bfloat16)
      return conv2d_backward_weight_bfloat16(s, factor<T>(x), gradient_factor<T>(dy), dw);
  conv2d_backward_weight<T>(s, x.elements(), dy.data(), dw);
}

Tensor convolved(const ConvShape& s, const Tensor& x, const Tensor& w, const Tensor& bias, ComputeType type) {
  return written({s.batch, s.out_height(), s.out_width(), s.out_channels}, type, [&](const ElementSink<Real>& y) {
    if (!multiply_codes<Real>(s, x, w, bias.data(), y)) forward<Real>(s, type, x, w, bias.data(), y);
  });
}

Tensor dense(const Tensor& x, const Tensor& w, const Tensor& bias, ComputeType type) {
  Tensor y = Tensor::uninitialized({x.size(0), w.size(0)});
  if (multiply_codes<Real>(bit_linear_shape(x.size(0), x.size(1), w.size(0)), x, w, bias.data(), {y.mutable_data()}))
    return y;
  y = multiplied(rounded_for(type, x), false, rounded_for(type, w), true);
  if (bias.defined()) add_row<Real>(y.size(0), w.size(0), bias.data(), y.data(), y.mutable_data());
  return y;
}

// The products of the backward pass are integer ones, too, where a gradient map leaves codes. As above.
template <class T>
bool convolve_back_codes(const ConvShape& s, const Tensor& dy, const Tensor& w, const ElementSink<T>& dx) {
  if constexpr (std::is_same_v<T, float>) {
    const auto g = leveled_codes(dy), weight = leveled_codes(w);
    if (!g || !weight || !backward_data_on_codes(s, *g, *weight)) return false;
    conv2d_backward_data_codes(s, *g, *weight, dx);
    return true;
  }
  return false;
}

template <class T>
bool weigh_back_codes(const ConvShape& s, const Tensor& x, const Tensor& dy, T* dw) {
  if constexpr (std::is_same_v<T, float>) {
    const auto g = leveled_codes(dy), in = leveled_codes(x);
    if (!g || !in || !backward_weight_on_codes(s, *in, *g)) return false;
    conv2d_backward_weight_codes(s, *in, *g, dw);
    return true;
  }
  return false;
}

Tensor input_gradient(const ConvShape& s, const Tensor& dy, const Tensor& w, const Shape& shape, ComputeType type) {
  return written(shape, type, [&](const ElementSink<Real>& dx) {
    if (!convolve_back_codes<Real>(s, dy, w, dx)) backward_data<Real>(s, type, dy, w, dx);
  });
}

Tensor weight_gradient(const ConvShape& s, const Tensor& x, const Tensor& dy, const Shape& shape, ComputeType type) {
  Tensor dw = Tensor::uninitialized(shape);
  if (!weigh_back_codes<Real>(s, x, dy, dw.mutable_data())) backward_weight<Real>(s, type, x, dy, dw.mutable_data());
  return dw;
}

Tensor dense_input_gradient(const Tensor& dy, const Tensor& w, ComputeType type) {
  Tensor dx = Tensor::uninitialized({dy.size(0), w.size(1)});
  const ConvShape s = bit_linear_shape(dy.size(0), w.size(1), w.size(0));
  if (convolve_back_codes<Real>(s, dy, w, dx.mutable_data())) return dx;
  return multiplied(rounded_for(type, dy), false, rounded_for(type, w), false);
}

Tensor dense_weight_gradient(const Tensor& x, const Tensor& dy, ComputeType type) {
  Tensor dw = Tensor::uninitialized({dy.size(1), x.size(1)});
  const ConvShape s = bit_linear_shape(x.size(0), x.size(1), dy.size(1));
  if (weigh_back_codes<Real>(s, x, dy, dw.mutable_data())) return dw;
  return multiplied(rounded_for(type, dy), true, rounded_for(type, x), false);
}

// The gradient of an output as the two products of the backward pass see it.
class MappedGradient {
 public:
  MappedGradient(const OutputGradientMap& map, const Tensor& g) : map_(map), g_(g) {}
  const Tensor& for_input() {
    if (!input_.defined()) input_ = map_.for_input ? map_.for_input(g_) : g_;
    return input_;
  }
  /// To be called after for_input(), whose result is let go where this one differs from it: the new one is made in the
  /// same memory, which is in the caches.
  Tensor for_weight() {
    if (!map_.for_weight) return for_input();
    input_ = Tensor();
    return map_.for_weight(g_);
  }

 private:
  const OutputGradientMap& map_;
  const Tensor& g_;
  Tensor input_;
};

}  // namespace

Var matmul(const Var& a, const Var& b, bool transpose_a, bool transpose_b) {
  check(a.shape().rank() == 2 && b.shape().rank() == 2, "matmul: given shapes ", a.shape(), " and ", b.shape(),
        ", expected two matrices");
  check(a.shape()[transpose_a ? 0 : 1] == b.shape()[transpose_b ? 1 : 0], "matmul: given ", a.shape(),
        transpose_a ? "^T" : "", " x ", b.shape(), transpose_b ? "^T" : "", ", expected equal inner extents");
  const Tensor p = a.value(), q = b.value();
  const bool need_a = a.requires_grad(), need_b = b.requires_grad(), ta = transpose_a, tb = transpose_b;
  return record(
      "matmul", multiplied(p, ta, q, tb), {a, b},
      [=](const Tensor& g) -> Gradients {
        Gradients grads(2);
        if (need_a) grads[0] = ta ? multiplied(q, tb, g, true) : multiplied(g, false, q, !tb);
        if (need_b) grads[1] = tb ? multiplied(g, true, p, ta) : multiplied(p, !ta, g, false);
        return grads;
      },
      [=] {
        return Attributes{{"transpose_a", ta}, {"transpose_b", tb}};
      });
}

Var linear(const Var& x, const Var& weight, const Var& bias, const OutputGradientMap& map) {
  check(x.shape().rank() == 2 && weight.shape().rank() == 2 && x.shape()[1] == weight.shape()[1], "linear: given x ",
        x.shape(), " and weight ", weight.shape(), ", expected (N, in) and (out, in)");
  const std::int64_t out = weight.shape()[0];
  check(!bias.defined() || bias.shape() == Shape{out}, "linear: given bias ", bias.shape(), ", expected (", out, ")");
  const Tensor in = x.value(), w = weight.value();
  const ComputeType type = compute_type();
  const Tensor y = dense(in, w, bias.value(), type);
  const bool need_x = x.requires_grad(), need_w = weight.requires_grad(), need_b = bias.requires_grad();
  return record("linear", y, {x, weight, bias}, [=](const Tensor& g) -> Gradients {
    Gradients grads(3);
    MappedGradient mapped(map, g);
    if (need_x) grads[0] = dense_input_gradient(mapped.for_input(), w, type);
    if (!need_w && !need_b) return grads;
    const Tensor dy = mapped.for_weight();
    if (need_w) grads[1] = dense_weight_gradient(in, dy, type);
    if (need_b) grads[2] = sum_rows(dy);
    return grads;
  });
}

Var conv2d(const Var& x, const Var& weight, const Var& bias, const Conv2dOptions& o) {
  check(x.shape().rank() == 4 && weight.shape().rank() == 4, "conv2d: given x ", x.shape(), " and weight ",
        weight.shape(), ", expected (N, H, W, C) and (O, kh, kw, C / groups)");
  const Shape xs = x.shape(), ws = weight.shape();
  check(o.groups >= 1 && xs[3] % o.groups == 0 && xs[3] / o.groups == ws[3] && ws[0] % o.groups == 0,
        "conv2d: given x ", xs, " (N, H, W, C) with ", xs[3], " channels, ", ws, " weight, ", o.groups,
        " groups, expected channels = groups * weight's last, outputs divisible by groups");
  check(
      o.stride.in_range(1) && o.dilation.in_range(1) && o.padding.in_range(0) && HeightWidth(ws[1], ws[2]).in_range(1),
      "conv2d: given a kernel, stride or dilation below 1, a padding below 0, or one of them above 2^31");
  check(!bias.defined() || bias.shape() == Shape{ws[0]}, "conv2d: given bias ", bias.shape(), ", expected (", ws[0],
        ")");
  const ConvShape s{xs[0],      xs[1],      xs[2],       xs[3],       ws[0],        ws[1],        ws[2],
                    o.stride.h, o.stride.w, o.padding.h, o.padding.w, o.dilation.h, o.dilation.w, o.groups};
  check(xs[1] + 2 * o.padding.h >= o.dilation.h * (ws[1] - 1) + 1 &&
            xs[2] + 2 * o.padding.w >= o.dilation.w * (ws[2] - 1) + 1,
        "conv2d: given x ", xs, ", expected at least the extent of the kernel ", ws);
  const Tensor in = x.value(), w = weight.value();
  const ComputeType type = compute_type();
  const Tensor y = convolved(s, in, w, bias.value(), type);
  const bool need_x = x.requires_grad(), need_w = weight.requires_grad(), need_b = bias.requires_grad();
  auto backward = [=, map = o.map](const Tensor& g) -> Gradients {
    Gradients grads(3);
    MappedGradient mapped(map, g);
    if (need_x) grads[0] = input_gradient(s, mapped.for_input(), w, in.shape(), type);
    if (!need_w && !need_b) return grads;
    const Tensor dy = mapped.for_weight();
    if (need_w) grads[1] = weight_gradient(s, in, dy, w.shape(), type);
    if (need_b) grads[2] = sum_rows(dy);
    return grads;
  };
  return record("conv2d", y, {x, weight, bias}, std::move(backward), [&o] {
    return Attributes{{"stride", o.stride.extents()},
                      {"padding", o.padding.extents()},
                      {"dilation", o.dilation.extents()},
                      {"groups", o.groups}};
  });
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
