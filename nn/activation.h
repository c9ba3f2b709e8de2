#pragma once
// Activations, and the three steps that stand behind a convolution: normalise, add a shortcut, activate.
#include <functional>
#include <memory>
#include <string>

#include "nn/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// An elementwise map. forward: same shape in and out.
class Activation : public Module {
 public:
  Activation* activation() override { return this; }
  /// Puts the output on levels, or, given false, lets it lie between them. Returns false, and changes nothing,
  /// where that is not the activation's choice.
  virtual bool quantize(bool on) {
    static_cast<void>(on);
    return false;
  }
  /// act(norm(x) + shortcut), where shortcut may be undefined. Activations override it where they can do that
  /// with fewer passes over memory; hooks of `norm` and of this module are not called.
  virtual Var after_norm(BatchNorm& norm, const Var& x, const Var& shortcut);
  /// The same as modules one after another, whose hooks are called.
  Var in_passes(BatchNorm& norm, const Var& x, const Var& shortcut);

 protected:
  /// Whether one pass can do it (core/normalized.h).
  static bool fuses(const BatchNorm& norm);
};

/// The same through whatever hooks there are, and as modules one after another in a graph: what networks call.
Var norm_act(BatchNorm& norm, Activation& act, const Var& x, const Var& shortcut = {});

class ReLU : public Activation {
 public:
  Var forward(const Var& x) override { return relu(x); }
  Var after_norm(BatchNorm& norm, const Var& x, const Var& shortcut) override;
};

/// Makes one activation; `name` is its place in the network. This is how quantizers enter networks, which
/// know nothing of them.
using MakeActivation = std::function<std::unique_ptr<Activation>(const std::string& name)>;

/// A ReLU at every place.
MakeActivation relu_activation();

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
