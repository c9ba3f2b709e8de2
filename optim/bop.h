#pragma once
// Bop, the binary optimizer.
#include "optim/optimizer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// Settings of Bop, with those of the paper's CIFAR-10 runs as defaults.
struct BopOptions {
  double lr = 1e-4;         ///< gamma, in [0, 1], also after a rate factor
  double threshold = 1e-8;  ///< >= 0
};

/// Bop, the binary optimizer (Helwegen, Widdicombe, Geiger, Liu, Cheng, Nusselder: Latent weights do not exist,
/// NeurIPS 2019, algorithm 1, number unverified). A weight has two values, +s and -s, and no float copy in between: a
/// running mean of the gradient decides when it flips,
///   m = (1 - gamma) m + gamma g;  w = -w where |m| > threshold and m has the sign of w,
/// from m = 0. The learning rate is gamma, the adaptivity rate; the paper's CIFAR-10 runs divide it by 10 after each
/// 100 epochs.
class Bop : public UpdateRule {
 public:
  /// Throws Error for options out of range. A weight of 0 has no sign and never moves.
  Bop(std::vector<Parameter*> parameters, const BopOptions& options);

 private:
  void update(std::size_t index, Parameter& p, double rate) override;

  const double threshold_;
  std::size_t mean_;  // slot: running mean of the gradient
};

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
