#include "quant/activations/dorefa.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/map.h"
#include "core/ops.h"
#include "nn/trace.h"
#include "quant/math/unit_interval.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// quantize_k of values in [0, 1], without codes: for more bits than these have.
Var quantize_values(const Var& r, int bits) {
  const auto n = static_cast<Real>(highest_unit_level(bits));
  return record("quantize_k", map(r.value(), [n](Real v) { return std::nearbyint(n * v) / n; }), {r},
                [](const Tensor& g) -> Gradients { return {g}; });
}

}  // namespace

DorefaActivation::DorefaActivation(int bits, Bounding h, const Surrogate& surrogate)
    : bits_(bits), h_(h), surrogate_(surrogate) {
  highest_unit_level(bits);
  check_usage((h == Bounding::clip && bits <= kMostCodedUnitBits) || surrogate.name() == "clipped_relu",
              "dorefa activation: given the surrogate ", surrogate.name(),
              ", expected that of its own bounding function");
}

// In front of the grid, where h is not its own clipping: the surrogate of the rounding is the identity there,
// that of min(., 1) the clipped ReLU.
GridMap DorefaActivation::map() const {
  const Surrogate& s = h_ == Bounding::tanh ? coarsegrad::surrogate("identity") : surrogate_;
  return {unit_interval<Real>(bits_), bits_, &s};
}

Var DorefaActivation::forward(const Var& x) {
  const Var bounded = h_ == Bounding::clip       ? x
                      : h_ == Bounding::absolute ? abs(x)
                                                 : (tanh(x) + Real(1)) * Real(0.5);
  if (quantizing_ && bits_ <= kMostCodedUnitBits) return GridActivation::forward(bounded);
  const Var clipped = clamp(bounded, 0, 1);
  return quantizing_ ? quantize_values(clipped, bits_) : clipped;
}

Var DorefaActivation::after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) {
  return quantizing_ && h_ == Bounding::clip && bits_ <= kMostCodedUnitBits
             ? GridActivation::after_norm(norm, x, shortcut)
             : in_passes(norm, x, shortcut);
}

int DorefaActivation::bits() const { return quantizing_ ? bits_ : 32; }

nn::MakeActivation dorefa_activation(int bits, Bounding h, const Surrogate& surrogate) {
  return [bits, h, &surrogate](const std::string&) {
    return std::make_unique<DorefaActivation>(bits, h, surrogate);
  };
}

bool keep_last_activation_float(nn::Module& net, const Shape& image) {
  std::vector<nn::Module*> calls;
  nn::trace(net, image, [&](const std::string&, nn::Module& module, const Var&, const Var&) {
    if (nn::weight_of(module) || dynamic_cast<DorefaActivation*>(&module)) calls.push_back(&module);
  });
  while (!calls.empty() && !nn::weight_of(*calls.back())) calls.pop_back();
  if (calls.size() < 2) return false;
  auto* const last = dynamic_cast<DorefaActivation*>(calls[calls.size() - 2]);
  if (!last || std::ranges::count(calls, last) > 1) return false;
  last->quantize(false);
  return true;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
