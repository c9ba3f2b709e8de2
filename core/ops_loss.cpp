// Losses: each a scalar.
#include "core/base/check.h"
#include "core/base/elementwise.h"
#include "core/map.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

Var cross_entropy(const Var& logits, std::span<const std::uint8_t> labels, Real s) {
  check(logits.shape().rank() == 2 && logits.shape()[0] == static_cast<std::int64_t>(labels.size()),
        "cross_entropy: given logits ", logits.shape(), " and ", labels.size(),
        " labels, expected (N, C) and N");
  check(!labels.empty(), "cross_entropy: given an empty batch, expected at least one label");
  check(s >= 0 && s <= 1, "cross_entropy: given label smoothing ", s, ", expected 0 to 1");
  const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
  Tensor target({n, classes}, s / static_cast<Real>(classes));
  Real* t = target.mutable_data();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t label = labels[static_cast<std::size_t>(i)];
    check(label < classes, "cross_entropy: given label ", label, ", expected less than ", classes);
    t[i * classes + label] += 1 - s;
  }
  const Tensor log_p = log_softmax(logits.detach()).value();
  double loss = 0;
  for (std::int64_t i = 0; i < log_p.numel(); ++i)
    if (t[i] != 0) loss -= static_cast<double>(t[i]) * static_cast<double>(log_p[i]);  // 0 * -inf is no loss
  const auto images = static_cast<Real>(n);
  return record("cross_entropy", Tensor::scalar(static_cast<Real>(loss / static_cast<double>(n))), {logits},
                [=](const Tensor& g) -> Gradients {
                  Tensor p = Tensor::uninitialized(log_p.shape());
                  exp_forward<Real>(p.numel(), log_p.data(), p.mutable_data());
                  return {zip(p, target,
                              [f = g.item(), images](Real a, Real b) { return (a - b) * f / images; })};
                });
}

Var mse_loss(const Var& a, const Var& b) {
  check(a.shape() == b.shape(), "mse_loss: given shapes ", a.shape(), " and ", b.shape(),
        ", expected equal ones");
  return mean(square(a - b));
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
