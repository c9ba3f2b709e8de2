#include "nn/activation.h"

#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

Var Activation::after_norm(BatchNorm& norm, const Var& x, const Var& shortcut) {
  return in_passes(norm, x, shortcut);
}

Var Activation::in_passes(BatchNorm& norm, const Var& x, const Var& shortcut) {
  const Var normalized = norm(x);
  return (*this)(shortcut.defined() ? normalized + shortcut : normalized);
}

// Masks want whole bytes in each row.
bool Activation::fuses(const BatchNorm& norm) { return norm.channels() % 8 == 0; }

// A hook wants to see what lies between the steps, and a tracer each of them.
Var norm_act(BatchNorm& norm, Activation& act, const Var& x, const Var& shortcut) {
  return norm.has_hooks() || act.has_hooks() || tracer() ? act.in_passes(norm, x, shortcut)
                                                         : act.after_norm(norm, x, shortcut);
}

Var ReLU::after_norm(BatchNorm& norm, const Var& x, const Var& shortcut) {
  if (!fuses(norm)) return in_passes(norm, x, shortcut);
  return norm_relu(norm.normalized(x), shortcut);
}

MakeActivation relu_activation() {
  return [](const std::string&) { return std::make_unique<ReLU>(); };
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
