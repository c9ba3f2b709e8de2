// Losses, each a scalar, and what a classification is judged by.
#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/compute/elementwise.h"
#include "core/map.h"
#include "core/ops.h"
#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

namespace {

bool fit(const Shape& logits, const Tensor& labels) { return logits.rank() == 2 && labels.shape() == Shape{logits[0]}; }

}  // namespace

Var cross_entropy(const Var& logits, const Tensor& labels, Real s) {
  check(fit(logits.shape(), labels), "cross_entropy: given logits ", logits.shape(), " and labels ", labels.shape(),
        ", expected (N, C) and (N)");
  check(labels.numel() > 0, "cross_entropy: given an empty batch, expected at least one label");
  check(s >= 0 && s <= 1, "cross_entropy: given label smoothing ", s, ", expected 0 to 1");
  const std::int64_t n = logits.shape()[0], classes = logits.shape()[1];
  Tensor target({n, classes}, s / static_cast<Real>(classes));
  Real* t = target.mutable_data();
  const std::int32_t* const label_of = labels.data_of<std::int32_t>();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t label = label_of[i];
    check(label >= 0 && label < classes, "cross_entropy: given label ", label, ", expected 0 to ", classes - 1);
    t[i * classes + label] += 1 - s;
  }
  Tensor log_p = Tensor::uninitialized(logits.shape());
  log_softmax_forward<Real>(n, classes, logits.value().data(), log_p.mutable_data());
  double loss = 0;
  for (std::int64_t i = 0; i < log_p.numel(); ++i)
    if (t[i] != 0) loss -= static_cast<double>(t[i]) * static_cast<double>(log_p[i]);  // 0 * -inf is no loss
  const auto images = static_cast<Real>(n);
  return record(
      "cross_entropy", Tensor::scalar(static_cast<Real>(loss / static_cast<double>(n))), {logits},
      [=](const Tensor& g) -> Gradients {
        Tensor p = Tensor::uninitialized(log_p.shape());
        exp_forward<Real>(p.numel(), log_p.data(), p.mutable_data());
        return {zip(p, target, [f = g.item(), images](Real a, Real b) { return (a - b) * f / images; })};
      },
      [s] {
        return Attributes{{"label_smoothing", s}};
      });
}

Var mse_loss(const Var& a, const Var& b) {
  check(a.shape() == b.shape(), "mse_loss: given shapes ", a.shape(), " and ", b.shape(), ", expected equal ones");
  return as_one_op(
      "mse_loss", {}, [&] { return mean(square(a - b)); }, a, b);
}

std::int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  check(fit(logits.shape(), labels), "accuracy: given logits ", logits.shape(), " and labels ", labels.shape(),
        ", expected (N, C) and (N)");
  const auto label_of = labels.view_of<std::int32_t>();
  const std::int64_t classes = logits.size(1);
  std::int64_t correct = 0;
  for (std::size_t i = 0; i < label_of.size(); ++i) {
    const Real* row = logits.data() + static_cast<std::int64_t>(i) * classes;
    check(std::none_of(row, row + classes, [](Real v) { return std::isnan(v); }), "accuracy: given a logit of image ",
          i, " that is NaN, expected numbers");
    correct += std::max_element(row, row + classes) - row == label_of[i];
  }
  return correct;
}

double accuracy(const Tensor& logits, const Tensor& labels) {
  check(labels.numel() > 0, "accuracy: given an empty batch, expected at least one label");
  return static_cast<double>(count_correct(logits, labels)) / static_cast<double>(labels.numel());
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
