#pragma once
// Gradient check: the Jacobian that backward computes against central differences. Use the double library; in
// float the noise of the differences hides errors below a percent. Never for the hard function of a
// straight-through estimator, whose true derivative is zero almost everywhere: check the smooth function of
// its surrogate instead.
#include <functional>
#include <string>
#include <vector>

#include "core/autograd.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// How far the Jacobian J of backward() is from J', that of central differences.
struct GradcheckResult {
  double error = 0;   ///< max |J - J'| / max |J'| over all inputs; 0 where both are zero
  std::string where;  ///< the worst entry: input, its element, output element, both values
};

/// f maps leaves to a Var of any shape; every entry of the Jacobian is compared. Central differences of step
/// `step` have an error of order step^2, and of rounding / step. f must be deterministic, and smooth
/// within `step` of the inputs.
GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& f, const std::vector<Tensor>& inputs,
                          double step = 1e-5);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
