#pragma once
// Activations of DoReFa-Net (Zhou, Wu, Ni, Zhou, Wen, Zou, arXiv 1606.06160, equations 5, 6 and 11, section 2.7), with
// n = 2^k - 1 and quantize_k(r) = round(n r) / n for r in [0, 1], the even one of two integers, derivative 1. The paper
// asks of the map h into [0, 1] only that it be bounded; those below are the authors' code, now and earlier.
#include "quant/activations/grid_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The map h by which an activation gets into [0, 1] before it is quantized.
enum class Bounding {
  clip,      ///< min(max(x, 0), 1)
  absolute,  ///< min(|x|, 1)
  tanh,      ///< (tanh(x) + 1) / 2
};

/// quantize_k(h(x)) with the derivative of h. forward: same shape in and out.
class DorefaActivation : public GridActivation {
 public:
  /// With h = clip another surrogate than the clipped ReLU may stand for its derivative. Throws UsageError
  /// unless 1 <= bits <= 16, and for a surrogate with another h, or with more than 8 bits, which have no codes.
  explicit DorefaActivation(int bits, Bounding h = Bounding::clip,
                            const Surrogate& surrogate = coarsegrad::surrogate("clipped_relu"));
  Var forward(const Var& x) override;
  /// 32 without quantization.
  int bits() const override;
  /// h.
  Bounding bounding() const { return h_; }

  /// Off: forward() is h(x) alone. Returns true: it can do without levels.
  bool quantize(bool on) override {
    quantizing_ = on;
    return true;
  }

 protected:
  ActivationMap map() const override;

 private:
  const int bits_;
  const Bounding h_;
  const Surrogate& surrogate_;
  bool quantizing_ = true;
};

/// Options of `dorefa`, whose h is the clip.
struct DorefaOptions {
  int bits = 2;                            ///< 1 to 16
  std::string surrogate = "clipped_relu";  ///< its name; another one only up to 8 bits
};
void describe(OptionVisitor& v, DorefaOptions& o);
/// Options of `dorefa_abs` and `dorefa_tanh`.
struct BoundedOptions {
  int bits = 2;  ///< 1 to 16
};
void describe(OptionVisitor& v, BoundedOptions& o);

/// A DorefaActivation at every place.
nn::MakeActivation dorefa_activation(int bits, Bounding h = Bounding::clip,
                                     const Surrogate& surrogate = coarsegrad::surrogate("clipped_relu"));

/// The dotted name of the activation whose output the last dense layer or convolution of `net` reads, maybe after
/// pooling; "" where it is called at another place, too, as in the last block of a ResNet, or something else is read.
/// `image` (H, W, C) is what the net takes.
std::string last_activation(nn::Module& net, const Shape& image);
/// What the last dense layer or convolution of `net` reads is from here on bounded and not quantized, as in section 2.7
/// of the paper, where the activation that it comes from can do without levels (nn::Activation::quantize).
/// Returns whether there was such an activation: one that last_activation() does not name stays quantized.
bool keep_last_activation_float(nn::Module& net, const Shape& image);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
