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

struct GradcheckResult {
  double error = 0;   ///< max |J - J'| / max |J'| over all inputs, J' from central differences (0 when J' is
                      ///< zero and equal)
  std::string where;  ///< the worst entry: input, its element, output element, both values
};

/// f maps leaves to a Var of any shape; every entry of the Jacobian is compared. Central differences of step
/// `step` have an error of order step^2, and of rounding / step. f must be smooth within `step` of the
/// inputs, deterministic.
GradcheckResult gradcheck(const std::function<Var(const std::vector<Var>&)>& f, const std::vector<Tensor>& inputs,
                          double step = 1e-5);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
