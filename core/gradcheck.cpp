#include "core/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

using Function = std::function<Var(const std::vector<Var>&)>;

// Row j: the gradients of output element j with respect to all elements of all inputs, one after another.
std::vector<std::vector<double>> backward_jacobian(const Function& f, const std::vector<Tensor>& inputs) {
  std::vector<std::vector<double>> rows;
  std::int64_t outputs = 1;
  for (std::int64_t j = 0; j < outputs; ++j) {
    std::vector<Var> leaves;
    for (const Tensor& t : inputs) leaves.push_back(Var::leaf(t));
    const Var y = f(leaves);
    outputs = y.numel();
    if (outputs == 0) break;
    Tensor seed(y.shape());
    seed.mutable_data()[j] = 1;
    if (y.requires_grad()) y.backward(seed);
    std::vector<double> row;
    for (const Var& leaf : leaves) {
      const Tensor g = leaf.grad().defined() ? leaf.grad() : Tensor(leaf.shape());
      check(g.shape() == leaf.shape(), "gradcheck: given a gradient of shape ", g.shape(), ", expected ", leaf.shape());
      row.insert(row.end(), g.view().begin(), g.view().end());
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Tensor value_at(const Function& f, std::vector<Tensor> inputs, std::size_t input, std::int64_t element, double delta) {
  const NoGrad constant;
  inputs[input].mutable_data()[element] += static_cast<Real>(delta);
  return f(std::vector<Var>(inputs.begin(), inputs.end())).value();
}

}  // namespace

GradcheckResult gradcheck(const Function& f, const std::vector<Tensor>& inputs, double step) {
  check(step > 0, "gradcheck: given step ", step, ", expected > 0");
  const auto jacobian = backward_jacobian(f, inputs);
  double worst = 0, largest = 0;
  GradcheckResult result;
  std::size_t column = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (std::int64_t e = 0; e < inputs[i].numel(); ++e, ++column) {
      const Tensor up = value_at(f, inputs, i, e, step), down = value_at(f, inputs, i, e, -step);
      // The step that was really taken, after rounding.
      const double x = static_cast<double>(inputs[i][e]);
      const double taken =
          static_cast<double>(static_cast<Real>(x + step)) - static_cast<double>(static_cast<Real>(x - step));
      for (std::size_t j = 0; j < jacobian.size(); ++j) {
        const auto k = static_cast<std::int64_t>(j);
        const double numeric = (static_cast<double>(up[k]) - static_cast<double>(down[k])) / taken;
        const double difference = std::abs(jacobian[j][column] - numeric);
        largest = std::max(largest, std::abs(numeric));
        if (difference <= worst) continue;  // false for NaN, which is then the worst
        worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
        result.where = cat("input ", i, " element ", e, ", output element ", j, ": backward ", jacobian[j][column],
                           ", differences ", numeric);
      }
    }
  result.error = worst == 0 ? 0 : worst / largest;
  return result;
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
