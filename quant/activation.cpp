#include "quant/activation.h"

#include <cmath>
#include <optional>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/map.h"
#include "core/ops.h"
#include "quant/activation_codes.h"
#include "quant/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// The surrogates whose derivative is 0 or 1 have kernels that keep one bit per element for the backward pass.
std::optional<Ste> mask_rule(const Surrogate& s) {
  if (s.name() == "identity") return Ste::identity;
  if (s.name() == "relu") return Ste::relu;
  if (s.name() == "clipped_relu") return Ste::clipped_relu;
  return std::nullopt;
}

Backward masked_backward(const Mask& mask) {
  if (!mask) return [](const Tensor& g) -> Gradients { return {g}; };
  return [mask](const Tensor& g) -> Gradients {
    Tensor dx = Tensor::uninitialized(g.shape());
    mask_backward<Real>(g.size(), mask->data(), g.data(), dx.mutable_data());
    return {dx};
  };
}

Backward surrogate_backward(const Tensor& x, Real alpha, Real window, const Surrogate& surrogate) {
  return [=, &surrogate](const Tensor& g) -> Gradients {
    Tensor d = map(x, [alpha](Real v) { return v / alpha; });
    Real* at = d.mutable_data();
    parallel_pieces(d.size(), [&](std::int64_t begin, std::int64_t end) {
      const std::span<Real> piece(at + begin, static_cast<std::size_t>(end - begin));
      surrogate.derivative(piece, window, piece);
    });
    return {zip(g, d, [](Real dy, Real slope) { return dy * slope; })};
  };
}

}  // namespace

Var quantize_activation(const Var& x, Real alpha, int bits, const Surrogate& surrogate) {
  const Quantizer<Real> quantizer{alpha, highest_level(bits)};
  const auto rule = mask_rule(surrogate);
  const bool save_mask = rule && *rule != Ste::identity && x.requires_grad() && grad_enabled();
  const ActivationCodes out =
      encode_activation(x.value(), quantizer, bits, rule.value_or(Ste::identity), save_mask);
  return record("quantize_activation", out.value, {x},
                rule ? masked_backward(out.mask)
                     : surrogate_backward(x.value(), alpha, static_cast<Real>(quantizer.levels), surrogate));
}

UniformActivation::UniformActivation(int bits, double alpha, const Surrogate& surrogate)
    : bits_(bits), alpha_(alpha), surrogate_(surrogate) {
  highest_level(bits);
  check(std::isfinite(alpha) && alpha > 0, "uniform activation: given alpha = ", alpha,
        ", expected a positive number");
}

Var UniformActivation::forward(const Var& x) {
  return quantize_activation(x, static_cast<Real>(alpha_), bits_, surrogate_);
}

Var UniformActivation::after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) {
  const auto rule = mask_rule(surrogate_);
  if (!rule || !fuses(norm)) return Activation::after_norm(norm, x, shortcut);
  const FlushDenormals flush;
  const Normalized n = norm.normalized(x);
  const ActivationCodes out =
      encode_activation(n, shortcut.value(), {static_cast<Real>(alpha_), highest_level(bits_)}, bits_, *rule);
  return record_activated("norm_quantize", n, shortcut,
                          {out.value, [mask = out.mask] { return mask; }, {}, {}});
}

nn::MakeActivation uniform_activation(int bits, const Surrogate& surrogate) {
  const double alpha = half_gaussian_alpha(bits);
  return [bits, alpha, &surrogate](const std::string&) {
    return std::make_unique<UniformActivation>(bits, alpha, surrogate);
  };
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
