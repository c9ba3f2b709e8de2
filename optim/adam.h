#pragma once
// Adam.
#include "optim/optimizer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// Settings of Adam, with PyTorch's defaults.
struct AdamOptions {
  double lr = 0.001;        ///< learning rate, >= 0
  double beta1 = 0.9,       ///< of the running mean of the gradient, in [0, 1)
      beta2 = 0.999;        ///< of the running mean of its square, in [0, 1)
  double epsilon = 1e-8;    ///< >= 0
  double weight_decay = 0;  ///< >= 0, added to the gradient for the parameters whose `decay` is on
};

/// Adam (Kingma and Ba: Adam: a method for stochastic optimization, ICLR 2015, algorithm 1), in PyTorch's
/// order of operations, for the t-th update of a parameter:
///   d = g + weight_decay w;  m = beta1 m + (1 - beta1) d;  v = beta2 v + (1 - beta2) d^2;
///   w = w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
class Adam : public UpdateRule {
 public:
  /// Throws Error for options out of range.
  Adam(std::vector<Parameter*> parameters, const AdamOptions& options);

 private:
  void update(std::size_t index, Parameter& p, double rate) override;

  const AdamOptions options_;
  std::size_t mean_, square_;  // slots: running means of the gradient and of its square
};

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
