#include "quant/activations/grid_activation.h"

#include <optional>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/map.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// The surrogates whose derivative is 0 or 1 have kernels that keep one bit per element for the backward pass.
std::optional<Ste> mask_rule(const Surrogate& s) {
  if (s.name() == "identity") return Ste::identity;
  if (s.name() == "relu") return Ste::relu;
  if (s.name() == "clipped_relu") return Ste::clipped_relu;
  if (s.name() == "hard_tanh") return Ste::hard_tanh;
  return std::nullopt;
}

Tensor masked(const Tensor& g, const DerivativeMask& mask) {
  if (!mask) return g;
  Tensor dx = Tensor::uninitialized(g.shape());
  mask_backward<Real>(g.numel(), mask->data(), g.data(), dx.mutable_data());
  return dx;
}

Tensor times_surrogate(const Tensor& g, const Tensor& x, const kernels::Quantizer<Real>& quantizer,
                       const Surrogate& surrogate) {
  Tensor slope = map(x, [quantizer](Real v) { return v * quantizer.steps / quantizer.alpha; });
  Real* at = slope.mutable_data();
  parallel_pieces(slope.numel(), [&](std::int64_t begin, std::int64_t end) {
    const std::span<Real> piece(at + begin, static_cast<std::size_t>(end - begin));
    surrogate.derivative(piece, static_cast<Real>(quantizer.levels), piece);
  });
  return zip(g, slope, [](Real dy, Real d) { return dy * d; });
}

// t + shortcut, without history.
Tensor normalized_input(const Normalized& n, const Tensor& shortcut) {
  Tensor t = Tensor::uninitialized(n.x.shape());
  batch_norm_apply<Real>(n.rows(), n.channels(), n.x.value().data(), n.columns(), t.mutable_data());
  return shortcut.defined() ? zip(t, shortcut, [](Real a, Real b) { return a + b; }) : t;
}

}  // namespace

Attributes attributes_of(const GridMap& map) {
  constexpr const char* kRoundings[] = {"up", "nearest", "sign"};
  const kernels::Quantizer<Real>& q = map.quantizer;
  return {{"bits", map.bits},
          {"levels", q.levels},
          {"alpha", q.alpha},
          {"steps", q.steps},
          {"scale", q.scale()},
          {"rounding", kRoundings[static_cast<int>(q.rounding)]},
          {"surrogate", map.surrogate->name()}};
}

Var quantize_activation(const Var& x, const GridMap& map) {
  const auto rule = mask_rule(*map.surrogate);
  const bool wanted = grad_enabled() && (x.requires_grad() || map.parameter.requires_grad());
  const ActivationCodes out =
      encode_activation(x.value(), map.quantizer, map.bits, rule.value_or(Ste::identity), wanted);
  const Tensor input = rule && !map.reads_input ? Tensor() : x.value();
  const ActivationCodes kept{{}, map.parameter_gradient ? out.coded : nullptr, out.mask};
  return record(
      "quantize_activation", out.value, {x, map.parameter},
      [=, quantizer = map.quantizer, surrogate = map.surrogate,
       gradient = map.parameter_gradient](const Tensor& g) -> Gradients {
        return {rule ? masked(g, kept.mask) : times_surrogate(g, input, quantizer, *surrogate),
                gradient ? gradient(g, kept, input) : Tensor()};
      },
      [&map] { return attributes_of(map); });
}

Var GridActivation::after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) {
  const GridMap map = this->map();
  const auto rule = mask_rule(*map.surrogate);
  if (!rule || !fuses(norm)) return in_passes(norm, x, shortcut);
  const FlushDenormals flush;
  const Normalized n = norm.normalized(x);
  const ActivationCodes out = encode_activation(n, shortcut.value(), map.quantizer, map.bits, *rule);
  Activated result{out.value, [mask = out.mask] { return mask; }, map.parameter, {}};
  if (map.parameter_gradient) {
    const Normalized input = map.reads_input ? Normalized{n.x.detach(), n.scale.detach(), n.shift.detach(),
                                                          n.mean,       n.inv_std,        n.statistics}
                                             : Normalized{};
    result.parameter_gradient = [kept = ActivationCodes{{}, out.coded, out.mask}, input,
                                 gradient = map.parameter_gradient,
                                 added = map.reads_input ? shortcut.value() : Tensor()](const Tensor& g) {
      return gradient(g, kept, input.x.defined() ? normalized_input(input, added) : Tensor());
    };
  }
  return record_activated("norm_quantize", n, shortcut, result, "quantize_activation",
                          [&map] { return attributes_of(map); });
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
