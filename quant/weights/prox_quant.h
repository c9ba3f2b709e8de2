#pragma once
// ProxQuant (Bai, Wang, Liberty: ProxQuant: quantized neural networks via proximal operators, ICLR 2019,
// algorithm 1, number unverified): no straight-through gradient. The network computes with the float weights, and each
// step of the optimizer, at learning rate eta, is followed by the proximal step of eta lambda times a regulariser
// that is zero on the quantized weights, with lambda growing along the training,
//   w <- prox(w - eta gradient).
// At the end the weights are quantized and stay; normalisations and biases are trained on.
#include "quant/weights/relaxation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of `prox` and `prox_squared`. The defaults are those of the authors' code for binary ResNets on CIFAR-10,
/// where weights are frozen after 200 of 300 epochs.
struct ProxQuantOptions {
  double rate = 1e-4;          ///< >= 0: what lambda grows by each time, from 0
  double every = 1;            ///< epochs between two growths, above 0
  double most = kNoEnd;        ///< where lambda stops growing
  double hard_from = 2.0 / 3;  ///< share of the training, 0 to 1, after which weights are frozen
};
void describe(OptionVisitor& v, ProxQuantOptions& o);

/// "prox": regulariser |w - q|_1 with q = proj(w), the W-shaped one where q = sign(w). Its proximal step
/// moves each weight towards its q, which is taken as constant, by eta lambda, not beyond:
///   prox(w) = q + sign(w - q) max(|w - q| - eta lambda, 0).
/// lambda = rate k after k times options.every epochs, at most options.most; where weights are frozen strength() is
/// infinite. Throws Error for options out of range.
std::unique_ptr<Relaxation> prox_quant(const ProxQuantOptions& options);

/// "prox_squared": regulariser |w - q|^2 / 2, which the authors' code has for ternary weights,
///   prox(w) = (w + eta lambda q) / (1 + eta lambda).
/// Schedule and errors are those of prox_quant().
std::unique_ptr<Relaxation> prox_quant_squared(const ProxQuantOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
