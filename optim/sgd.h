#pragma once
// Stochastic gradient descent.
#include "optim/optimizer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// Settings of Sgd.
struct SgdOptions {
  double lr = 0.01;         ///< learning rate, >= 0
  double momentum = 0;      ///< 0 to 1
  bool nesterov = false;    ///< needs momentum > 0
  double weight_decay = 0;  ///< >= 0, for the parameters whose `decay` is on
};

/// Stochastic gradient descent with momentum, in PyTorch's order of operations:
///   d = g + weight_decay w;
///   b = momentum b + d, in the first step b = d;
///   d = d + momentum b with nesterov, else b;
///   w = w - lr d
class Sgd : public UpdateRule {
 public:
  /// Throws Error for options out of range.
  Sgd(std::vector<Parameter*> parameters, const SgdOptions& options);

 private:
  void update(std::size_t index, Parameter& p, double rate) override;

  const SgdOptions options_;
  std::size_t momentum_;  // slot: b
};

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
