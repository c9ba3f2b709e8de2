#pragma once
// Every differentiable op with sample inputs: the generic tests loop over this table. A new op gets a row here.
#include <functional>
#include <string>
#include <vector>

#include "core/ops.h"

namespace coarsegrad::tests {

struct OpCase {
  std::string name;
  std::function<Var(const std::vector<Var>&)> f;
  std::vector<Shape> inputs;
  Real low = -2,
       high = 2;  // range of the inputs; no two elements are equal, none is closer than 1e-3 to a kink
};

const std::vector<OpCase>& op_table();

/// Inputs of a case: a fixed permutation of equally spaced values, none of them near an integer multiple of 1/2.
std::vector<Tensor> sample_inputs(const OpCase& c, std::uint64_t seed = 1);

}  // namespace coarsegrad::tests
