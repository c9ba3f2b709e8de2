#pragma once
// Weights and activations of DoReFa-Net (Zhou, Wu, Ni, Zhou, Wen, Zou, arXiv 1606.06160, sections 2.2 to 2.4,
// 2.7), with n = 2^k - 1 and
//   quantize_k(r) = round(n r) / n for r in [0, 1], the even one of two integers, derivative 1.
// Its gradient quantizer is in quant/gradient_quantizer.h.
#include "quant/grid_activation.h"
#include "quant/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// "dorefa": one grid for the whole tensor. k = 1: E sgn(w) with E = mean|w|, a constant to the backward
/// pass, which goes straight through. k = 2 to 16: with t = tanh(w) and m = max|t|,
///   w_q = 2 quantize_k(t / (2 m) + 1/2) - 1,  from -1 to 1 in odd multiples of 1/n: there is no zero,
///   dC/dw_i = dC/dw_q,i (1 - t_i^2) / m,  and at the first i* = argmax|t|
///     - (sum_j dC/dw_q,j t_j) / m^2 sign(t_i*) (1 - t_i*^2),
/// which goes away with options.detach_max. The codes are 2 j - n with the scale 1/n; from 8 bits on they do
/// not fit a byte, and there are values alone. Weights that are all zero get the gradient as it is. Codes of
/// weights within rounding of a threshold may differ between kernel tables, as tanh does. Throws UsageError
/// for one scale per channel, which the bit convolutions of the backward pass do not allow (section 2.3).
std::unique_ptr<WeightProjection> dorefa_projection(const ProjectionOptions& options);

/// How an activation gets into [0, 1] before it is quantized.
enum class Bounding {
  clip,      ///< min(max(x, 0), 1)
  absolute,  ///< min(|x|, 1)
  tanh,      ///< (tanh(x) + 1) / 2
};

/// quantize_k(h(x)) with the derivative of h. forward: same shape in and out.
class DorefaActivation : public GridActivation {
 public:
  /// With h = clip another surrogate than the clipped ReLU may stand for its derivative. Throws UsageError
  /// unless 1 <= bits <= 16, and for a surrogate with another h, or with more than 8 bits, which have no
  /// codes.
  explicit DorefaActivation(int bits, Bounding h = Bounding::clip,
                            const Surrogate& surrogate = coarsegrad::surrogate("clipped_relu"));
  Var forward(const Var& x) override;
  Var after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) override;
  /// 32 without quantization.
  int bits() const override;
  Bounding bounding() const { return h_; }

  /// Off: h(x) alone.
  void quantize(bool on) { quantizing_ = on; }

 protected:
  GridMap map() const override;

 private:
  const int bits_;
  const Bounding h_;
  const Surrogate& surrogate_;
  bool quantizing_ = true;
};

/// A DorefaActivation at every place.
nn::MakeActivation dorefa_activation(int bits, Bounding h = Bounding::clip,
                                     const Surrogate& surrogate = coarsegrad::surrogate("clipped_relu"));

/// The rule of section 2.7: what the last dense layer or convolution of `net` reads is bounded and not
/// quantized. `image` (H, W, C) is what the net takes. Returns whether there was such an activation: one that
/// serves another place, too, as in the last block of a ResNet, stays quantized.
bool keep_last_activation_float(nn::Module& net, const Shape& image);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
