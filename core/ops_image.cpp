// Pooling and batch normalisation: shapes are checked here, the work is done by core/base/pool.h and norm.h.
#include <cmath>
#include <memory>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/norm.h"
#include "core/base/parallel.h"
#include "core/base/pool.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

PoolShape pool_shape(const char* op, const Var& x, const PoolOptions& o) {
  check(x.shape().rank() == 4, op, ": given x ", x.shape(), ", expected (N, H, W, C)");
  const Pair stride = o.stride.value_or(o.kernel);
  check(o.kernel.in_range(1) && stride.in_range(1) && o.padding.in_range(0), op,
        ": given a kernel or stride below 1, a padding below 0, or one of them above 2^31");
  const Shape& s = x.shape();
  return {s[0], s[1], s[2], s[3], o.kernel.h, o.kernel.w, stride.h, stride.w, o.padding.h, o.padding.w};
}

Tensor pooled(const PoolShape& s) {
  return Tensor::uninitialized({s.batch, s.out_height(), s.out_width(), s.channels});
}

struct Channels {
  std::int64_t rows, count;
};

Channels check_channels(const Var& x, const Var& scale, const Var& shift) {
  check(x.shape().rank() >= 2, "batch_norm: given x ", x.shape(), ", expected (N, ..., C)");
  const std::int64_t channels = x.shape()[-1];
  for (const Var* v : {&scale, &shift})
    check(!v->defined() || v->shape() == Shape{channels}, "batch_norm: given scale or shift ", v->shape(),
          ", expected (", channels, ")");
  return {channels ? x.size() / channels : 0, channels};
}

// The part that training and evaluation share: what flows back through y = (x - mean) * inv_std * scale +
// shift.
Var record_batch_norm(const Tensor& y, const Var& x, const Var& scale, const Var& shift, const Tensor& mean,
                      const Tensor& inv_std, BatchStatistics statistics) {
  const Tensor in = x.value(), factor = scale.value();
  const bool need_x = x.requires_grad(), need_scale = scale.requires_grad(),
             need_shift = shift.requires_grad();
  return record("batch_norm", y, {x, scale, shift}, [=](const Tensor& g) -> Gradients {
    Gradients grads(3);
    if (need_x) grads[0] = Tensor::uninitialized(in.shape());
    if (need_scale) grads[1] = Tensor::uninitialized(mean.shape());
    if (need_shift) grads[2] = Tensor::uninitialized(mean.shape());
    const std::int64_t channels = mean.size();
    batch_norm_backward<Real>(channels ? in.size() / channels : 0, channels, in.data(), g.data(), mean.data(),
                              inv_std.data(), factor.data(), statistics, grads[0].mutable_data(),
                              grads[1].mutable_data(), grads[2].mutable_data());
    return grads;
  });
}

void move_towards(Tensor& running, const Tensor& target, Real momentum, Real factor) {
  Real* r = running.mutable_data();
  for (std::int64_t c = 0; c < running.size(); ++c)
    r[c] = (1 - momentum) * r[c] + momentum * (target[c] * factor);
}

}  // namespace

Var max_pool2d(const Var& x, const PoolOptions& o) {
  const PoolShape s = pool_shape("max_pool2d", x, o);
  Tensor y = pooled(s);
  // Which place of its window each output came from: all that backward needs.
  const auto place = std::make_shared<Scratch<std::uint16_t>>(static_cast<std::size_t>(y.size()));
  max_pool_forward<Real>(s, x.value().data(), y.mutable_data(), place->data());
  const Shape in = x.shape();
  return record("max_pool2d", y, {x}, [=](const Tensor& g) -> Gradients {
    Tensor dx = Tensor::uninitialized(in);
    max_pool_backward<Real>(s, g.data(), place->data(), dx.mutable_data());
    return {dx};
  });
}

Var avg_pool2d(const Var& x, const PoolOptions& o) {
  const PoolShape s = pool_shape("avg_pool2d", x, o);
  Tensor y = pooled(s);
  average_pool_forward<Real>(s, x.value().data(), true, y.mutable_data());
  const Shape in = x.shape();
  return record("avg_pool2d", y, {x}, [=](const Tensor& g) -> Gradients {
    Tensor dx = Tensor::uninitialized(in);
    average_pool_backward<Real>(s, g.data(), true, dx.mutable_data());
    return {dx};
  });
}

Var global_avg_pool2d(const Var& x) {
  check(x.shape().rank() == 4, "global_avg_pool2d: given x ", x.shape(), ", expected (N, H, W, C)");
  const Shape in = x.shape();
  Tensor y = Tensor::uninitialized({in[0], in[3]});
  global_average_pool_forward<Real>(in[0], in[1] * in[2], in[3], x.value().data(), y.mutable_data());
  return record("global_avg_pool2d", y, {x}, [=](const Tensor& g) -> Gradients {
    Tensor dx = Tensor::uninitialized(in);
    global_average_pool_backward<Real>(in[0], in[1] * in[2], in[3], g.data(), dx.mutable_data());
    return {dx};
  });
}

Var batch_norm(const Var& x, const Var& scale, const Var& shift, Real eps, Real momentum,
               Tensor* running_mean, Tensor* running_var) {
  const FlushDenormals flush;
  const auto [rows, channels] = check_channels(x, scale, shift);
  for (const Tensor* running : {running_mean, running_var})
    check(!running || running->shape() == Shape{channels}, "batch_norm: given running statistics of shape ",
          running ? running->shape() : Shape{}, ", expected (", channels, ")");
  Tensor y = Tensor::uninitialized(x.shape()), mean = Tensor::uninitialized({channels}), var = mean,
         inv_std = mean;
  batch_norm_forward<Real>(rows, channels, x.value().data(), scale.value().data(), shift.value().data(), eps,
                           y.mutable_data(), mean.mutable_data(), var.mutable_data(), inv_std.mutable_data());
  if (running_mean) move_towards(*running_mean, mean, momentum, 1);
  if (running_var)
    move_towards(*running_var, var, momentum,
                 rows > 1 ? static_cast<Real>(rows) / static_cast<Real>(rows - 1) : 1);
  return record_batch_norm(y, x, scale, shift, mean, inv_std, BatchStatistics::of_batch);
}

Var batch_norm_eval(const Var& x, const Var& scale, const Var& shift, const Tensor& mean, const Tensor& var,
                    Real eps) {
  const FlushDenormals flush;
  const auto [rows, channels] = check_channels(x, scale, shift);
  check(mean.shape() == Shape{channels} && var.shape() == Shape{channels}, "batch_norm: given statistics ",
        mean.shape(), " and ", var.shape(), ", expected (", channels, ")");
  Tensor y = Tensor::uninitialized(x.shape()), inv_std = Tensor::uninitialized({channels});
  for (std::int64_t c = 0; c < channels; ++c) inv_std.mutable_data()[c] = 1 / std::sqrt(var[c] + eps);
  batch_norm_apply<Real>(rows, channels, x.value().data(), mean.data(), inv_std.data(), scale.value().data(),
                         shift.value().data(), y.mutable_data());
  return record_batch_norm(y, x, scale, shift, mean, inv_std, BatchStatistics::constant);
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
