#include "experiments/studies/regression.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/check.h"
#include "nn/layers.h"
#include "optim/sgd.h"
#include "quant/evaluation_scope.h"
#include "quant/quantized_optimizer.h"

namespace coarsegrad::experiments {

Regression::Regression(const RegressionOptions& o, const Rng& rng)
    : rows_(static_cast<std::size_t>(o.rows)), columns_(static_cast<std::size_t>(o.columns)) {
  check(o.columns >= 1 && o.rows >= o.columns, "regression: given ", o.rows, " rows and ", o.columns,
        " columns, expected at least as many rows as columns, and one");
  const auto normals = [&](const char* name, std::size_t n) {
    std::vector<double> v(n);
    rng.split(name).normal(v.data(), n);
    return v;
  };
  a_ = normals("A", rows_ * columns_);
  b_ = normals("noise", rows_);
  const std::vector<double> w = normals("w*", columns_);
  for (std::size_t r = 0; r < rows_; ++r) {
    b_[r] *= o.noise;
    for (std::size_t c = 0; c < columns_; ++c) b_[r] += a_[r * columns_ + c] * w[c];
  }
  least_squares_ = solve();
}

std::vector<double> Regression::residual(const Tensor& x) const {
  check(x.numel() == static_cast<std::int64_t>(columns_), "regression: given ", x.numel(), " weights, expected ",
        columns_);
  std::vector<double> r(rows_);
  for (std::size_t i = 0; i < rows_; ++i) {
    r[i] = -b_[i];
    for (std::size_t c = 0; c < columns_; ++c) r[i] += a_[i * columns_ + c] * static_cast<double>(x.data()[c]);
  }
  return r;
}

double Regression::loss(const Tensor& x) const {
  double sum = 0;
  for (const double r : residual(x)) sum += r * r;
  return sum / 2 / static_cast<double>(rows_);
}

Tensor Regression::gradient(const Tensor& x) const {
  const std::vector<double> r = residual(x);
  std::vector<double> sums(columns_);
  for (std::size_t i = 0; i < rows_; ++i)
    for (std::size_t c = 0; c < columns_; ++c) sums[c] += a_[i * columns_ + c] * r[i];
  std::vector<Real> g;
  for (const double sum : sums) g.push_back(static_cast<Real>(sum / static_cast<double>(rows_)));
  return Tensor({1, static_cast<std::int64_t>(columns_)}, g);
}

// The normal equations A^T A x = A^T b by Cholesky's factors.
Tensor Regression::solve() const {
  const std::size_t n = columns_;
  std::vector<double> l(n * n), x(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < rows_; ++k) x[i] += a_[k * n + i] * b_[k];
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < rows_; ++k) sum += a_[k * n + i] * a_[k * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = i == j ? std::sqrt(sum) : sum / l[j * n + j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) x[i] -= l[i * n + k] * x[k];
    x[i] /= l[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) x[i] -= l[k * n + i] * x[k];
    x[i] /= l[i * n + i];
  }
  return Tensor({1, static_cast<std::int64_t>(n)}, std::vector<Real>(x.begin(), x.end()));
}

RegressionResult descend(const Regression& problem, const Part& projection, const Part& relaxation,
                         const RegressionSchedule& schedule,
                         const std::function<void(const RegressionState&)>& observe) {
  nn::Linear layer(problem.least_squares().size(1), 1, Rng(), false);
  layer.weight.value = problem.least_squares();
  quant::WeightRule rule(layer, projection, relaxation);
  std::vector<Parameter*> parameters = layer.parameters();
  std::ranges::copy(rule.parameters(), std::back_inserter(parameters));
  optim::Sgd sgd(parameters, {});
  quant::QuantizedOptimizer optimizer(sgd, layer, {.weights = &rule}, {1, schedule.total()});
  const auto quantized_loss = [&] {
    const quant::EvaluationScope scope(layer, &rule);
    return problem.loss(layer.weight.effective);
  };
  RegressionResult result{quantized_loss(), HUGE_VAL, 0};
  for (int step = 0; step < schedule.total(); ++step) {
    const bool last = step >= schedule.steps;
    const double loss = last || observe ? quantized_loss() : 0;
    if (last) result.best = std::min(result.best, loss);
    optimizer.lr = last ? schedule.last_lr : schedule.lr;
    optimizer.zero_grad();
    if (observe) observe({step, rule.relaxation().strength(), layer.weight.value, layer.weight.effective, loss});
    layer.weight.set_grad(problem.gradient(layer.weight.effective));
    optimizer.step();
  }
  result.last = quantized_loss();
  return result;
}

}  // namespace coarsegrad::experiments
