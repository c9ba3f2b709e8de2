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

/// Options of `relax`. The defaults are those of the authors' code, which reach a lambda of 359 in 150 of 200 epochs
/// and begin phase II then.
struct BinaryRelaxOptions {
  double lambda = 1;        ///< >= 0, at the start
  double growth = 1.04;     ///< >= 1, the factor of lambda at each growth
  double every = 1;         ///< epochs between two growths, above 0
  double most = kNoEnd;     ///< where lambda stops growing
  double hard_from = 0.75;  ///< share of the training, 0 to 1, after which phase II begins
};
void describe(OptionVisitor& v, BinaryRelaxOptions& o);

/// "relax": lambda growth^(k + 1) after k times options.every epochs, but at most options.most; in phase II strength()
/// is infinite. Throws Error for options out of range.
std::unique_ptr<Relaxation> binary_relax(const BinaryRelaxOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
