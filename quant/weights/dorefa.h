#pragma once
// Weights of DoReFa-Net (Zhou, Wu, Ni, Zhou, Wen, Zou, arXiv 1606.06160, equations 5 to 10), with n = 2^k - 1 and
//   quantize_k(r) = round(n r) / n for r in [0, 1], the even one of two integers, derivative 1.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the projection `dorefa`.
struct DorefaWeightOptions {
  int bits = 2;             ///< k, 1 to 16
  int sign_of_zero = 1;     ///< with k = 1: the code of 0, which is +1 or 0
  bool detach_max = false;  ///< the backward pass takes m = max|tanh w| as a constant
  /// With k = 1: equations 9 and 10, as for more bits, in place of 7 and 8. The paper found no significant difference.
  bool through_tanh = false;
};
void describe(OptionVisitor& v, DorefaWeightOptions& o);

/// "dorefa": one grid for the whole tensor. k = 1: E sgn(w) with E = mean|w|, a constant to the backward
/// pass, which goes straight through (equations 7 and 8). k = 2 to 16, and k = 1 with options.through_tanh (equations
/// 9 and 10, which do not say whether m is differentiated): with t = tanh(w) and m = max|t|,
///   w_q = 2 quantize_k(t / (2 m) + 1/2) - 1,  from -1 to 1 in odd multiples of 1/n: there is no zero (with k = 1
///                                             a weight that is 0 becomes -1),
///   dC/dw_i = dC/dw_q,i (1 - t_i^2) / m,  and at the first i* = argmax|t|
///     - (sum_j dC/dw_q,j t_j) / m^2 sign(t_i*) (1 - t_i*^2),
/// which goes away with options.detach_max. The codes are 2 j - n with the scale 1/n; from 8 bits on they do
/// not fit a byte, and there are values alone. Weights that are all zero get the gradient as it is. Codes of
/// weights within rounding of a threshold may differ between kernel tables, as tanh does. There is no scale
/// per channel, which the bit convolutions of the backward pass do not allow (section 2.3).
std::unique_ptr<WeightProjection> dorefa_projection(const DorefaWeightOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
