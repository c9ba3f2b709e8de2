// Pooling: shapes are checked here, the work is done by core/base/pool.h.
#include <memory>

#include "core/base/check.h"
#include "core/base/memory.h"
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

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
