#pragma once
// Activations: elementwise maps. act(norm(x) + shortcut) is one pass over memory (core/activate.h).
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
};

/// max(x, 0); NaN stays NaN.
class ReLU : public Activation {
 public:
  Var forward(const Var& x) override { return relu(x); }
};

/// max(-1, min(1, x)); NaN stays NaN.
class Hardtanh : public Activation {
 public:
  Var forward(const Var& x) override { return clamp(x, -1, 1); }
};

/// Makes one activation; `name` is its place in the network. This is how quantizers enter networks, which
/// know nothing of them.
using MakeActivation = std::function<std::unique_ptr<Activation>(const std::string& name)>;

/// A ReLU at every place.
MakeActivation relu_activation();

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
