#pragma once
// BinaryRelax (Yin, Zhang, Lyu, Osher, Qi, Xin: BinaryRelax, SIAM J. Imaging Sci. 11(4), 2018): instead of on
// the set Q of quantized weights the loss is minimised with the Moreau envelope (lambda / 2) dist(w, Q)^2 of
// Q's indicator, whose proximal step is
//   x = (w + lambda proj(w)) / (1 + lambda).
// Phase I computes with x and gives w its gradient, while lambda grows; phase II, at a small learning rate,
// computes with proj(w).
#include "quant/weights/relaxation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// "relax": lambda = strength growth^(k + 1) after k times options.every epochs, but at most options.most;
/// phase II after the share options.hard_from of the training, where strength() is infinite. The authors'
/// code takes strength = 1 and growth = 1.04 in 150 of 200 epochs, then phase II: the last lambda is 359.
/// Throws Error unless strength >= 0, growth >= 1 and every > 0.
std::unique_ptr<Relaxation> binary_relax(const RelaxationOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
