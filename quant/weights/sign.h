#pragma once
// Binary weights by their signs, beside the projection `binary` of quant/weights/projection.h. One bit only.
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Options of the projection `sign`.
struct SignOptions {
  int bits = 1;              ///< 1
  int sign_of_zero = 1;      ///< the code of 0, which is +1 or 0
  bool per_channel = false;  ///< each index of the first axis is a group of its own instead of the whole tensor
};
void describe(OptionVisitor& v, SignOptions& o);

/// Options of `xnor`.
struct XnorOptions {
  int bits = 1;          ///< 1
  int sign_of_zero = 1;  ///< the code of 0, which is +1 or 0
};
void describe(OptionVisitor& v, XnorOptions& o);

/// "sign": -1 and +1 without a scale, sign(0) as options.sign_of_zero says (Courbariaux, Hubara, Soudry,
/// El-Yaniv, Bengio: Binarized neural networks, 2016, equation 1, number unverified); a group of zeros stays one.
/// The gradient goes straight through everywhere, in that paper where |w| <= 1; it keeps the float weights there
/// (relaxation `clip`).
std::unique_ptr<WeightProjection> sign_projection(const SignOptions& options);

/// "xnor": alpha sign(w) with alpha = mean|w| of each output channel (Rastegari, Ordonez, Redmon, Farhadi:
/// XNOR-Net, 2016, section 3.1, equation 6, number unverified), and their gradient
///   dC/dw_i = dC/dx_i (1/n + alpha 1{|w_i| <= 1}),  n weights in the channel.
/// It is small, alpha being a few hundredths: rates that suit other projections hardly move the signs.
/// This is the Binary-Weight-Network of that paper; with sign activations it is XNOR-Net but for the input
/// scales K, means of |input| over the window of each output, which are left out.
std::unique_ptr<WeightProjection> xnor_projection(const XnorOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
