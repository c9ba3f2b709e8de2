#pragma once
// The forward pass that the quantized activations share: from values, or from a normalisation that has not
// been carried out yet, to codes and a mask.
#include "core/compute/activation.h"
#include "core/deferred.h"
#include "core/normalized.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

struct ActivationCodes {
  Tensor value;                  ///< made from the codes when somebody asks; at once where there is a NaN
  std::shared_ptr<Coded> coded;  ///< signed for kernels::Rounding::sign; code 0 for NaN
  DerivativeMask mask;           ///< of the backward pass; null for the identity and where none is wanted
};

/// The values and codes of x on the grid of `quantizer`.
ActivationCodes encode_activation(const Tensor& x, kernels::Quantizer<Real> quantizer, int bits, Ste ste,
                                  bool with_mask = true);
/// The same of t + shortcut in one pass over memory, bit for bit the same as in three; `shortcut` has the
/// shape of n.x or is undefined. Channels are a multiple of 8.
ActivationCodes encode_activation(const Normalized& n, const Tensor& shortcut,
                                  kernels::Quantizer<Real> quantizer, int bits, Ste ste);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
