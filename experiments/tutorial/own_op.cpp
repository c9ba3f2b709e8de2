// Step 2: an op of one's own, forward and backward side by side, checked against differences.
#include <cmath>
#include <cstdio>

#include "core/compute/random.h"
#include "core/gradcheck.h"
#include "core/map.h"
#include "core/ops.h"

using namespace coarsegrad;

// log(1 + e^x), whose derivative is 1 / (1 + e^-x).
Var softplus(const Var& x) {
  const Tensor at = x.value();
  return record("softplus", map(at, [](Real a) { return std::log1p(std::exp(a)); }), {x},
                [at](const Tensor& g) -> Gradients {  // what a backward pass needs is kept by the closure
                  return {zip(g, at, [](Real d, Real a) { return d / (1 + std::exp(-a)); })};
                });
}

int main() {
  Tensor x({3, 4});
  Rng(1).normal(x.mutable_data(), 12);
  // The Jacobian of backward() against central differences; Real is double here (CoarseGrad::coarsegrad_f64).
  const double error = gradcheck([](const std::vector<Var>& in) { return softplus(in[0]) * in[0]; }, {x}).error;
  std::printf("largest relative error %.0e: %s\n", error, error < 1e-6 ? "the gradient is right" : "it is wrong");
  return error < 1e-6 ? 0 : 1;
}
