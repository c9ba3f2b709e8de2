#pragma once
// Least squares with quantized weights: min over x on the grid of f(x) = 1/2 mean((A x - b)^2), small enough
// to be solved hundreds of times. What a relaxation is worth shows here without a network.
#include <functional>

#include "core/compute/random.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad::experiments {

struct RegressionOptions {
  int rows = 60, columns = 20;
  double noise = 0.3;  ///< standard deviation of b - A w*
};

class Regression {
 public:
  /// A, w* and the noise are Gaussian. Throws Error unless rows >= columns >= 1.
  Regression(const RegressionOptions& options, const Rng& rng);

  /// x: (1, columns), as the weight of a dense layer with one output; so are the results.
  double loss(const Tensor& x) const;
  Tensor gradient(const Tensor& x) const;
  /// Where f is smallest, off the grid.
  const Tensor& least_squares() const { return least_squares_; }

 private:
  std::vector<double> residual(const Tensor& x) const;
  Tensor solve() const;

  std::size_t rows_, columns_;
  std::vector<double> a_, b_;
  Tensor least_squares_;
};

/// Gradient descent from the least-squares solution, all rows in each step. The second phase ends it at a
/// small rate; what is judged is the quantized weight within it.
struct RegressionSchedule {
  int steps = 450, last_steps = 150;
  double lr = 0.1, last_lr = 0.01;
  int total() const { return steps + last_steps; }
};

/// Where a descent stands before the update of a step.
struct RegressionState {
  std::int64_t step;        ///< from 0
  double strength;          ///< of the relaxation
  const Tensor& weight;     ///< float
  const Tensor& effective;  ///< what the gradient is taken at
  double loss_quantized;
};

struct RegressionResult {
  double first = 0;  ///< f of the quantized weight at the start
  double best = 0;   ///< smallest f of the quantized weight in the second phase
  double last = 0;   ///< f of the quantized weight at the end
};
/// The relaxation's epochs are the steps. `observe` may be empty.
RegressionResult descend(const Regression& problem, const Part& projection, const Part& relaxation,
                         const RegressionSchedule& schedule,
                         const std::function<void(const RegressionState&)>& observe = {});

}  // namespace coarsegrad::experiments
