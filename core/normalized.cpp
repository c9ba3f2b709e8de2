#include "core/normalized.h"

#include <array>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/in_range.h"
#include "core/ops.h"
#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

std::int64_t check_channels(const Var& x, const Var& scale, const Var& shift) {
  check(x.shape().rank() >= 2 && x.shape()[-1] > 0, "batch_norm: given x ", x.shape(),
        ", expected (N, ..., C) with a channel or more");
  const std::int64_t channels = x.shape()[-1];
  for (const Var* v : {&scale, &shift})
    check(!v->defined() || v->shape() == Shape{channels}, "batch_norm: given scale or shift ", v->shape(),
          ", expected (", channels, ")");
  return channels;
}

// Stops at the largest finite number: a variance is a square, and need not fit where the values do.
template <class Target>
void move_towards(Tensor& running, double momentum, Target target) {
  Real* r = running.mutable_data();
  for (std::int64_t c = 0; c < running.numel(); ++c)
    r[c] = to_finite((1 - momentum) * r[c] + momentum * target(c));
}

// y as the result of a normalisation, a sum and an activation, one after another.
Var as_layers(Tracer& t, Var y, const Normalized& n, const Var& shortcut, const Var& parameter,
              const char* activation, const LazyAttributes& attributes) {
  const Shape shape = y.shape();
  const auto layer = [&](const char* op, const std::vector<Var>& inputs, const Attributes& a) {
    return Tracer::marked(Var(), t.op(op, inputs, shape, a));
  };
  Var last = layer("batch_norm", {n.x, n.scale, n.shift}, {{"mean", n.mean}, {"inv_std", n.inv_std}});
  if (shortcut.defined()) last = layer("add", {last, shortcut}, {});
  if (activation) last = layer(activation, {last, parameter}, attributes());
  return Tracer::marked(std::move(y), Tracer::mark_of(last));
}

// relu(t + shortcut), made where it is read.
class NormalizedRelu : public Deferred {
 public:
  NormalizedRelu(const Normalized& n, Tensor shortcut)
      : x_(n.x.value()),
        shortcut_(std::move(shortcut)),
        mean_(n.mean),
        inv_std_(n.inv_std),
        scale_(n.scale.value()),
        shift_(n.shift.value()) {}

  void read(std::int64_t begin, std::int64_t end, Real* out) const override {
    run(begin, (end - begin) / granule(), out, nullptr);
  }
  std::int64_t granule() const override { return x_.shape()[-1]; }

  DerivativeMask mask() const {
    auto bits = std::make_shared<Scratch<std::uint8_t>>(mask_bytes(x_.numel()));
    run(0, x_.numel() / granule(), nullptr, bits->data());
    return bits;
  }

 private:
  void run(std::int64_t begin, std::int64_t rows, Real* y, std::uint8_t* mask) const {
    const NormColumns<Real> columns{mean_.data(), inv_std_.data(), scale_.data(), shift_.data()};
    const Real* add = shortcut_.defined() ? shortcut_.data() + begin : nullptr;
    batch_norm_relu<Real>(rows, granule(), x_.data() + begin, columns, add, y, mask);
  }

  Tensor x_, shortcut_, mean_, inv_std_, scale_, shift_;
};

}  // namespace

void check_norm_settings(double eps, double momentum) {
  check(in_range(eps, 0) && in_range(momentum, 0, 1), "batch_norm: given eps ", eps, " and momentum ",
        momentum, ", expected a finite eps >= 0 and a momentum from 0 to 1");
}

Normalized normalized(const Var& x, const Var& scale, const Var& shift, Real eps, Real momentum,
                      Tensor* running_mean, Tensor* running_var) {
  const FlushDenormals flush;
  check_norm_settings(eps, momentum);
  const std::int64_t channels = check_channels(x, scale, shift);
  for (const Tensor* running : {running_mean, running_var})
    check(!running || running->shape() == Shape{channels}, "batch_norm: given running statistics of shape ",
          running ? running->shape() : Shape{}, ", expected (", channels, ")");
  Normalized n{x,
               scale,
               shift,
               Tensor::uninitialized({channels}),
               Tensor::uninitialized({channels}),
               BatchStatistics::of_batch};
  check(n.rows() > 1, "batch_norm: given x ", x.shape(),
        ", expected more than one value per channel in training mode (a last batch of one image: drop it)");
  const auto rows = static_cast<double>(n.rows());
  const Scratch<double> var(static_cast<std::size_t>(channels));
  batch_norm_statistics<Real>(n.rows(), channels, x.value().data(), eps, n.mean.mutable_data(), var.data(),
                              n.inv_std.mutable_data());
  if (running_mean) move_towards(*running_mean, momentum, [&](std::int64_t c) { return n.mean[c]; });
  if (running_var)
    move_towards(*running_var, momentum, [&](std::int64_t c) { return var.data()[c] * rows / (rows - 1); });
  return n;
}

Normalized normalized_eval(const Var& x, const Var& scale, const Var& shift, const Tensor& mean,
                           const Tensor& var, Real eps) {
  const FlushDenormals flush;
  check_norm_settings(eps, 0);
  const std::int64_t channels = check_channels(x, scale, shift);
  check(mean.shape() == Shape{channels} && var.shape() == Shape{channels}, "batch_norm: given statistics ",
        mean.shape(), " and ", var.shape(), ", expected (", channels, ")");
  Normalized n{x, scale, shift, mean, Tensor::uninitialized({channels}), BatchStatistics::constant};
  for (std::int64_t c = 0; c < channels; ++c) n.inv_std.mutable_data()[c] = 1 / std::sqrt(var[c] + eps);
  return n;
}

Var record_activated(const char* op, const Normalized& n, const Var& shortcut, const Activated& result,
                     const char* activation, const LazyAttributes& attributes) {
  // Copies of what backward needs: a captured Var would keep its history alive.
  const auto constants = std::make_shared<const Normalized>(
      Normalized{n.x.detach(), n.scale.detach(), n.shift.detach(), n.mean, n.inv_std, n.statistics});
  const std::array<bool, 4> need{n.x.requires_grad(), n.scale.requires_grad(), n.shift.requires_grad(),
                                 shortcut.requires_grad()};
  const auto backward = [=, mask = result.mask,
                         parameter = result.parameter_gradient](const Tensor& g) -> Gradients {
    const DerivativeMask bits = mask ? mask() : nullptr;
    Gradients grads(5);
    for (std::size_t i = 0; i < need.size(); ++i)
      if (need[i]) grads[i] = Tensor::uninitialized(i == 0 || i == 3 ? g.shape() : constants->mean.shape());
    batch_norm_backward<Real>(
        constants->rows(), constants->channels(), constants->x.value().data(), g.data(),
        bits ? bits->data() : nullptr, constants->columns(), constants->statistics,
        {grads[0].mutable_data(), grads[1].mutable_data(), grads[2].mutable_data(), grads[3].mutable_data()});
    if (parameter) grads[4] = parameter(g);
    return grads;
  };
  Tracer* const t = tracer();
  const TracerScope not_as_one_op(nullptr);
  const Var y = record(op, result.value, {n.x, n.scale, n.shift, shortcut, result.parameter}, backward);
  return t ? as_layers(*t, y, n, shortcut, result.parameter, activation, attributes) : y;
}

Var batch_norm(const Var& x, const Var& scale, const Var& shift, Real eps, Real momentum,
               Tensor* running_mean, Tensor* running_var) {
  const Normalized n = normalized(x, scale, shift, eps, momentum, running_mean, running_var);
  Tensor y = Tensor::uninitialized(x.shape());
  batch_norm_apply<Real>(n.rows(), n.channels(), x.value().data(), n.columns(), y.mutable_data());
  return record_activated("batch_norm", n, {}, {y, {}, {}, {}});
}

Var batch_norm_eval(const Var& x, const Var& scale, const Var& shift, const Tensor& mean, const Tensor& var,
                    Real eps) {
  const Normalized n = normalized_eval(x, scale, shift, mean, var, eps);
  Tensor y = Tensor::uninitialized(x.shape());
  batch_norm_apply<Real>(n.rows(), n.channels(), x.value().data(), n.columns(), y.mutable_data());
  return record_activated("batch_norm", n, {}, {y, {}, {}, {}});
}

Var norm_relu(const Normalized& n, const Var& shortcut) {
  const FlushDenormals flush;
  const Shape shape = n.x.shape();
  check(!shortcut.defined() || shortcut.shape() == shape, "norm_relu: given a shortcut ", shortcut.shape(),
        ", expected ", shape);
  // A deferred result keeps its shortcut. That costs nothing where somebody else keeps it, too.
  if (!shortcut.defined() || shortcut.value().shared()) {
    const auto later = std::make_shared<const NormalizedRelu>(n, shortcut.value());
    return record_activated("norm_relu", n, shortcut,
                            {Tensor::deferred(shape, later), [later] { return later->mask(); }, {}, {}},
                            "relu");
  }
  Tensor y = Tensor::uninitialized(shape);
  auto mask = std::make_shared<Scratch<std::uint8_t>>(mask_bytes(y.numel()));
  batch_norm_relu<Real>(n.rows(), n.channels(), n.x.value().data(), n.columns(), shortcut.value().elements(),
                        y.mutable_data(), mask->data());
  return record_activated("norm_relu", n, shortcut, {y, [mask] { return mask; }, {}, {}}, "relu");
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
