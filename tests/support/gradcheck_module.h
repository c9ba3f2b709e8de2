#pragma once
// Gradient check through a module: with respect to its input and all its parameters, by the very Vars and the
// very forward() that training uses. The module is made anew for each evaluation, so that one with a state
// (running statistics, a random stream) is a function.
#include <functional>
#include <memory>

#include "core/gradcheck.h"
#include "nn/module.h"

namespace coarsegrad::tests {

using MakeModule = std::function<std::unique_ptr<nn::Module>()>;
/// What is checked: the module's output, or a loss of it.
using Readout = std::function<Var(const Var& output)>;

inline GradcheckResult gradcheck_module(
    const MakeModule& make, const Tensor& x, const Readout& readout = [](const Var& y) { return y; },
    double step = 1e-5) {
  const auto f = [&](const std::vector<Var>& leaves) {
    const std::shared_ptr<nn::Module> module = make();
    const auto parameters = module->parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i]->value = leaves[i + 1].value();
    const Var in = Var::leaf(leaves[0].value()), y = readout((*module)(in));
    return record("module", y.value(), leaves, [=](const Tensor& g) {
      y.backward(g);
      Gradients grads{in.grad()};
      for (const Parameter* p : parameters) grads.push_back(p->grad());
      static_cast<void>(module);  // keeps the parameters
      return grads;
    });
  };
  std::vector<Tensor> inputs{x};
  const auto start = make();
  for (const Parameter* p : start->parameters()) inputs.push_back(p->value);
  return gradcheck(f, inputs, step);
}

}  // namespace coarsegrad::tests
