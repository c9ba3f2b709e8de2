#include "core/normalization.h"

#include <array>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/in_range.h"
#include "core/kept.h"
#include "core/masked_gradient.h"
#include "core/ops.h"

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
  for (std::int64_t c = 0; c < running.numel(); ++c) r[c] = to_finite((1 - momentum) * r[c] + momentum * target(c));
}

// The recipe, but for its statistics.
std::shared_ptr<Normalization> recipe(const Var& x, const Var& scale, const Var& shift) {
  auto n = std::make_shared<Normalization>();
  n->x = x.value();
  n->scale = scale.value();
  n->shift = shift.value();
  if (!is_kept(n->x)) n->x.data();  // a recipe does not stand on another one
  return n;
}

// The gradient behind an activation comes with its mask, and is what both kernels read then; where a shortcut wants the
// product as well, the first of them writes it. Large gradients are kept as x is.
template <class Kept>
Gradients gradients_of(const Normalization& n, BatchStatistics statistics, const std::array<bool, 3>& need,
                       const Kept* x, const Tensor& dy) {
  Gradients grads(3);
  for (std::size_t i = 1; i < need.size(); ++i)
    if (need[i]) grads[i] = Tensor::uninitialized(n.mean.shape());
  const auto run = [&](const Tensor& gradient, const std::uint8_t* mask, Kept* product) {
    const Tensor g = kept_like<Kept>(gradient);
    const auto write = [&](Kept* dx) {
      batch_norm_backward<Real>(n.rows(), n.channels(), x, elements_of<Kept>(g), mask, n.columns(), statistics,
                                {dx, grads[1].mutable_data(), grads[2].mutable_data(), product});
    };
    if (need[0])
      grads[0] = written_as<Kept>(n.x.shape(), write);
    else
      write(nullptr);
  };
  const auto masked = std::dynamic_pointer_cast<const MaskedGradient>(dy.shared_source());
  const auto run_masked = [&](Kept* product) { run(masked->gradient(), masked->mask().data(), product); };
  if (masked && !masked->has_other_readers())
    run_masked(nullptr);
  else if (!masked || !make_as<Kept>(dy, run_masked))
    run(dy, nullptr, nullptr);
  return grads;
}

Var recorded(const std::shared_ptr<const Normalization>& n, BatchStatistics statistics, const Var& x, const Var& scale,
             const Var& shift) {
  const std::array<bool, 3> need{x.requires_grad(), scale.requires_grad(), shift.requires_grad()};
  const auto backward = [n, statistics, need](const Tensor& g) {
    return with_kept(n->x, [&](const auto* kept) { return gradients_of(*n, statistics, need, kept, g); });
  };
  return record("batch_norm", Tensor::deferred(x.shape(), n), {x, scale, shift}, backward, [&n] {
    return Attributes{{"mean", n->mean}, {"inv_std", n->inv_std}};
  });
}

std::shared_ptr<const Normalization> normalization_of(const Tensor& t) {
  return std::dynamic_pointer_cast<const Normalization>(t.shared_source());
}

}  // namespace

void Normalization::read(std::int64_t begin, std::int64_t end, Real* out) const {
  with_kept(x, [&](const auto* kept) {
    batch_norm_apply<Real>((end - begin) / channels(), channels(), kept + begin, columns(), out);
  });
  if (!shortcut.defined()) return;
  const ElementWindow<Real> added(shortcut.elements(), begin, end);
  for (std::int64_t i = 0; i < end - begin; ++i) out[i] += added.data()[i];
}

void check_norm_settings(double eps, double momentum) {
  check(in_range(eps, 0) && in_range(momentum, 0, 1), "batch_norm: given eps ", eps, " and momentum ", momentum,
        ", expected a finite eps >= 0 and a momentum from 0 to 1");
}

Tensor normalization_with_shortcut(const Var& a, const Var& b) {
  if (a.shape() != b.shape()) return {};
  const auto left = normalization_of(a.value()), right = normalization_of(b.value());
  const bool is_left = left && !left->shortcut.defined();
  const auto &n = is_left ? left : right, &other = is_left ? right : left;
  // A sum of sums would be read through all of them.
  if (!n || n->shortcut.defined() || (other && other->shortcut.defined())) return {};
  const auto sum = std::make_shared<Normalization>(*n);
  sum->shortcut = (is_left ? b : a).value();
  sum->shortcut_has_history = (is_left ? b : a).requires_grad();
  return Tensor::deferred(a.shape(), sum);
}

Var batch_norm(const Var& x, const Var& scale, const Var& shift, Real eps, Real momentum, Tensor* running_mean,
               Tensor* running_var) {
  const FlushDenormals flush;
  check_norm_settings(eps, momentum);
  const std::int64_t channels = check_channels(x, scale, shift);
  for (const Tensor* running : {running_mean, running_var})
    check(!running || running->shape() == Shape{channels}, "batch_norm: given running statistics of shape ",
          running ? running->shape() : Shape{}, ", expected (", channels, ")");
  const std::int64_t rows = x.numel() / channels;
  check(rows > 1, "batch_norm: given x ", x.shape(),
        ", expected more than one value per channel in training mode (a last batch of one image: drop it)");
  const auto n = recipe(x, scale, shift);
  n->mean = Tensor::uninitialized({channels});
  n->inv_std = Tensor::uninitialized({channels});
  const Scratch<double> var(static_cast<std::size_t>(channels));
  with_kept(n->x, [&](const auto* kept) {
    batch_norm_statistics<Real>(rows, channels, kept, eps, n->mean.mutable_data(), var.data(),
                                n->inv_std.mutable_data());
  });
  const auto count = static_cast<double>(rows);
  if (running_mean) move_towards(*running_mean, momentum, [&](std::int64_t c) { return n->mean[c]; });
  if (running_var)
    move_towards(*running_var, momentum, [&](std::int64_t c) { return var.data()[c] * count / (count - 1); });
  return recorded(n, BatchStatistics::of_batch, x, scale, shift);
}

Var batch_norm_eval(const Var& x, const Var& scale, const Var& shift, const Tensor& mean, const Tensor& var, Real eps) {
  const FlushDenormals flush;
  check_norm_settings(eps, 0);
  const std::int64_t channels = check_channels(x, scale, shift);
  check(mean.shape() == Shape{channels} && var.shape() == Shape{channels}, "batch_norm: given statistics ",
        mean.shape(), " and ", var.shape(), ", expected (", channels, ")");
  const auto n = recipe(x, scale, shift);
  n->mean = mean;
  n->inv_std = Tensor::uninitialized({channels});
  for (std::int64_t c = 0; c < channels; ++c) n->inv_std.mutable_data()[c] = 1 / std::sqrt(var[c] + eps);
  return recorded(n, BatchStatistics::constant, x, scale, shift);
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
