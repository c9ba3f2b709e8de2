#include "quant/activation.h"

#include <cmath>
#include <optional>

#include "core/base/activation.h"
#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/map.h"
#include "core/normalized.h"
#include "core/ops.h"
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

// What a forward pass fills in: codes, and the mask where the backward pass will want one.
struct Outputs {
  std::shared_ptr<Coded> coded;
  std::shared_ptr<Scratch<std::uint8_t>> mask;

  Outputs(std::int64_t size, Real alpha, int bits, bool with_mask)
      : coded(std::make_shared<Coded>(size, bits, Coded::Sign::none, std::vector<Real>{alpha})),
        mask(with_mask ? std::make_shared<Scratch<std::uint8_t>>(mask_bytes(size)) : nullptr) {}
  std::uint8_t* mask_data() const { return mask ? mask->data() : nullptr; }
};

// There is no code for NaN: values that hold one are kept as they are.
Tensor values(const Tensor& x, Quantizer<Real> quantizer) {
  Tensor y = Tensor::uninitialized(x.shape());
  quantize_forward<Real>(x.size(), x.data(), quantizer, Ste::identity, y.mutable_data(), nullptr, nullptr);
  return y;
}

Tensor normalized_values(const Normalized& n, const Var& shortcut) {
  Tensor t = Tensor::uninitialized(n.x.shape());
  batch_norm_apply<Real>(n.rows(), n.channels(), n.x.value().data(), n.columns(), t.mutable_data());
  return shortcut.defined() ? (Var(t) + shortcut.detach()).value() : t;
}

// One pass from the input of a normalisation to codes; `ste` has a mask or is the identity.
Var norm_quantize(const Normalized& n, const Var& shortcut, Quantizer<Real> quantizer, int bits, Ste ste) {
  const Shape shape = n.x.shape();
  check(!shortcut.defined() || shortcut.shape() == shape, "norm_quantize: given a shortcut ",
        shortcut.shape(), ", expected ", shape);
  const Outputs out(n.x.size(), quantizer.alpha, bits, ste != Ste::identity);
  const bool any_nan = batch_norm_quantize<Real>(n.rows(), n.channels(), n.x.value().data(), n.columns(),
                                                 shortcut.value().elements(), quantizer, ste,
                                                 out.coded->codes(), out.mask_data());
  const Tensor y =
      any_nan ? values(normalized_values(n, shortcut), quantizer) : Tensor::deferred(shape, out.coded);
  return record_activated("norm_quantize", n, shortcut,
                          {y, [mask = out.mask]() -> Mask { return mask; }, {}, {}});
}

}  // namespace

Var quantize_activation(const Var& x, Real alpha, int bits, const Surrogate& surrogate) {
  const Quantizer<Real> quantizer{alpha, highest_level(bits)};
  const auto rule = mask_rule(surrogate);
  const bool save_mask = rule && *rule != Ste::identity && x.requires_grad() && grad_enabled();
  const Outputs out(x.size(), alpha, bits, save_mask);
  const bool any_nan =
      quantize_forward<Real>(x.size(), x.value().data(), quantizer, rule.value_or(Ste::identity), nullptr,
                             out.coded->codes(), out.mask_data());
  const Tensor y = any_nan ? values(x.value(), quantizer) : Tensor::deferred(x.shape(), out.coded);
  return record("quantize_activation", y, {x},
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
  return norm_quantize(norm.normalized(x), shortcut, {static_cast<Real>(alpha_), highest_level(bits_)}, bits_,
                       *rule);
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
