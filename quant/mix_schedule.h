#pragma once
// The mix of a tensor x and its quantization h that a training computes with in place of x,
//   a h + (1 - a) x,
// for weights (quant/weights/mix.h) and activations (quant/activations/mix.h): how its share a rises along the
// training, and what stands for its derivative. Source: Chen, Liu, Zhang, Hou, Yang, "Propagating
// asymptotic-estimated gradients for low bitwidth quantized neural networks" (IEEE J. Sel. Top. Signal Process. 2020,
// arXiv 2003.04296), equations 6, 18 and 19.
#include "core/base/options.h"
#include "quant/schedule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The factor of the gradient where |x| <= 1; elsewhere the gradient is 0. Neither factor is the derivative of the mix,
/// which is 1 - a between the jumps of h.
enum class MixFactor {
  paper,  ///< 2a, equations 18 and 19; over many layers a product of as many factors, which Adam does not see
  one,    ///< 1, the paper's algorithm 1 but for its caption: with a = 1 the straight-through estimator
};

/// Options of the mix. How a moves is ours: the paper has no formula, but says that the ratio of the quantized value
/// increases, and in its figures a begins near 1/2 and rises about linearly.
struct MixOptions {
  double first = 0.5;                   ///< a at the start, 0 to 1
  double last = 1;                      ///< a in the end, `first` to 1
  double until = 1;                     ///< share of the training, above 0, at which a has arrived there
  MixFactor factor = MixFactor::paper;  ///< of the gradient
};
void describe(OptionVisitor& v, MixOptions& o);

/// Where the mix stands: a = first + (last - first) min(1, s / until) with the share s of the training that is done.
class MixSchedule {
 public:
  /// At the start of a training. Throws Error for options out of range.
  explicit MixSchedule(const MixOptions& options);

  /// Moves a to where the training stands.
  void advance(const Progress& at);
  /// a, the share of the quantized value.
  double share() const { return share_; }
  /// The factor of the gradient where |x| <= 1.
  Real factor() const { return options_.factor == MixFactor::paper ? static_cast<Real>(2 * share_) : Real(1); }

  /// The mix of two numbers, for loops.
  struct Mix {
    Real quantized,  ///< a
        plain;       ///< 1 - a
    /// a h + (1 - a) x.
    Real operator()(Real h, Real x) const { return quantized * h + plain * x; }
  };
  /// The mix of where the training stands.
  Mix mix() const { return {static_cast<Real>(share_), static_cast<Real>(1 - share_)}; }

 private:
  MixOptions options_;
  double share_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
