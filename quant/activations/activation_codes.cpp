#include "quant/activations/activation_codes.h"

#include "core/base/check.h"
#include "core/map.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// What a pass fills in.
struct Outputs {
  std::shared_ptr<Coded> coded;
  std::shared_ptr<Scratch<std::uint8_t>> mask;

  Outputs(std::int64_t size, const kernels::Quantizer<Real>& quantizer, int bits, bool with_mask)
      : coded(std::make_shared<Coded>(
            size, bits,
            quantizer.rounding == kernels::Rounding::sign ? Coded::Sign::two_s_complement : Coded::Sign::none,
            std::vector<Real>{quantizer.scale()})),
        mask(with_mask ? std::make_shared<Scratch<std::uint8_t>>(mask_bytes(size)) : nullptr) {}
  std::uint8_t* mask_data() const { return mask ? mask->data() : nullptr; }
  /// There is no code for NaN: values that hold one are kept as they are.
  ActivationCodes done(const Shape& shape, bool any_nan, const std::function<Tensor()>& values) const {
    return {any_nan ? values() : Tensor::deferred(shape, coded), coded, mask};
  }
};

Tensor values(const Tensor& x, kernels::Quantizer<Real> quantizer) {
  Tensor y = Tensor::uninitialized(x.shape());
  quantize_forward<Real>(x.numel(), x.data(), quantizer, Ste::identity, y.mutable_data(), nullptr, nullptr);
  return y;
}

Tensor normalized_values(const Normalized& n, const Tensor& shortcut) {
  Tensor t = Tensor::uninitialized(n.x.shape());
  batch_norm_apply<Real>(n.rows(), n.channels(), n.x.value().data(), n.columns(), t.mutable_data());
  return shortcut.defined() ? zip(t, shortcut, [](Real a, Real b) { return a + b; }) : t;
}

}  // namespace

ActivationCodes encode_activation(const Tensor& x, kernels::Quantizer<Real> quantizer, int bits, Ste ste,
                                  bool with_mask) {
  const Outputs out(x.numel(), quantizer, bits, with_mask && ste != Ste::identity);
  const bool any_nan = quantize_forward<Real>(x.numel(), x.data(), quantizer, ste, nullptr,
                                              out.coded->codes(), out.mask_data());
  return out.done(x.shape(), any_nan, [&] { return values(x, quantizer); });
}

ActivationCodes encode_activation(const Normalized& n, const Tensor& shortcut,
                                  kernels::Quantizer<Real> quantizer, int bits, Ste ste) {
  const Shape shape = n.x.shape();
  check(!shortcut.defined() || shortcut.shape() == shape, "quantized activation: given a shortcut ",
        shortcut.shape(), ", expected ", shape);
  const Outputs out(n.x.numel(), quantizer, bits, ste != Ste::identity);
  const bool any_nan =
      batch_norm_quantize<Real>(n.rows(), n.channels(), n.x.value().data(), n.columns(), shortcut.elements(),
                                quantizer, ste, out.coded->codes(), out.mask_data());
  return out.done(shape, any_nan, [&] { return values(normalized_values(n, shortcut), quantizer); });
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
