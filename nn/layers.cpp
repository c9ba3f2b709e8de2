#include "nn/layers.h"

#include <cmath>

#include "core/base/check.h"
#include "core/normalization.h"
#include "nn/init.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {
namespace {

double default_bound(const Shape& weight) { return 1 / std::sqrt(static_cast<double>(fan_in(weight))); }

Var optional_var(const Parameter* p) { return p ? p->var() : Var(); }

Shape weight_shape(std::int64_t in, std::int64_t out) {
  check(in > 0 && out > 0, "linear: given ", in, " in, ", out, " out features, expected positive ones");
  return {out, in};
}

Shape weight_shape(const ConvOptions& o) {
  check(o.in > 0 && o.out > 0 && o.groups > 0 && o.in % o.groups == 0, "conv2d: given ", o.in, " in, ", o.out,
        " out channels, ", o.groups, " groups, expected positive ones, in divisible by groups");
  return {o.out, o.kernel.h, o.kernel.w, o.in / o.groups};
}

constexpr const char* kChannelsLast = "channels last, (N, ..., ";

/// Throws Error, naming the layer, unless x has `rank` axes (0: any number) and the last one is `features` long.
void check_input(const Module& layer, const char* kind, const Var& x, int rank, std::int64_t features,
                 const char* layout) {
  const Shape shape = x.shape();
  if (shape.rank() > 0 && (rank == 0 || shape.rank() == rank) && shape[-1] == features) return;
  const std::string path = layer.path();
  throw Error(cat(kind, path.empty() ? "" : " ", path, ": given x ", shape, ", expected ", layout, features, ")"));
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, const Rng& rng, bool with_bias)
    : weight(
          register_parameter("weight", uniform(weight_shape(in, out), default_bound({out, in}), rng.split("weight")))),
      bias(with_bias ? &register_parameter("bias", uniform({out}, default_bound({out, in}), rng.split("bias")))
                     : nullptr) {}

Var Linear::forward(const Var& x) {
  check_input(*this, "linear", x, 2, weight.value.size(1), "(N, ");
  return linear(x, weight.var(), optional_var(bias), gradient_map);
}

Conv2d::Conv2d(const ConvOptions& o, const Rng& rng)
    : options(o),
      weight(
          register_parameter("weight", uniform(weight_shape(o), default_bound(weight_shape(o)), rng.split("weight")))),
      bias(o.bias ? &register_parameter("bias", uniform({o.out}, default_bound(weight_shape(o)), rng.split("bias")))
                  : nullptr) {}

Var Conv2d::forward(const Var& x) {
  check_input(*this, "conv2d", x, 4, options.in, "channels last, (N, H, W, ");
  return conv2d(x, weight.var(), optional_var(bias),
                {options.stride, options.padding, options.dilation, options.groups, gradient_map});
}

BatchNorm::BatchNorm(std::int64_t channels, const BatchNormOptions& o)
    : options(o),
      scale(o.affine ? &register_parameter("scale", Tensor({channels}, Real(1))) : nullptr),
      shift(o.affine ? &register_parameter("shift", Tensor({channels})) : nullptr),
      running_mean(register_buffer("running_mean", Tensor({channels}))),
      running_var(register_buffer("running_var", Tensor({channels}, Real(1)))) {
  check_norm_settings(o.eps, o.momentum);
  for (Parameter* p : {scale, shift})
    if (p) p->decay = false;
}

Var BatchNorm::forward(const Var& x) {
  check_input(*this, "batch_norm", x, 0, channels(), kChannelsLast);
  const Real eps = static_cast<Real>(options.eps);
  if (!training()) return batch_norm_eval(x, optional_var(scale), optional_var(shift), running_mean, running_var, eps);
  return batch_norm(x, optional_var(scale), optional_var(shift), eps, static_cast<Real>(options.momentum),
                    &running_mean, &running_var);
}

std::vector<RunningStatistic> BatchNorm::running_statistics() {
  return {{running_mean, options.momentum}, {running_var, options.momentum}};
}

Var Flatten::forward(const Var& x) {
  check(x.shape().rank() >= 1, "flatten: given a scalar, expected a batch");
  std::int64_t features = 1;  // not size / N: a batch may be empty
  for (int axis = 1; axis < x.shape().rank(); ++axis) features *= x.shape()[axis];
  return reshape(x, {x.shape()[0], features});
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
