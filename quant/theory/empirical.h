#pragma once
// The empirical loss of the two-layer model: the mean over N inputs that are drawn once and kept. The inputs
// are single-precision variates; means are taken in double, bitwise the same for any number of threads.
#include <cstdint>
#include <vector>

#include "core/compute/random.h"
#include "quant/math/surrogate.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::theory {

/// A loss with its gradient in v and a coarse gradient in w.
struct Gradients {
  double loss;  ///< at the weights
  /// m entries.
  Vector v, w;  ///< n entries
};

/// The mean loss of a student over a fixed sample of inputs.
class EmpiricalLoss {
 public:
  /// Draws samples >= 1 inputs (4 m n bytes each) and the teacher's answers to them.
  EmpiricalLoss(const TwoLayer& teacher, std::int64_t samples, Rng rng);
  ~EmpiricalLoss();
  /// Moved, not copied: the inputs may be large.
  EmpiricalLoss(EmpiricalLoss&&) noexcept;
  EmpiricalLoss& operator=(EmpiricalLoss&&) noexcept;

  /// N.
  std::int64_t samples() const { return samples_; }
  /// The mean loss and the mean gradients at the student's weights.
  Gradients gradients(const Surrogate& surrogate, const Point& student) const;
  /// The mean loss after one coarse step of each size eta, in both layers.
  Vector one_step_curve(const Surrogate& surrogate, const Point& student, const Vector& etas) const;

 private:
  class Batch;

  std::int64_t samples_;
  std::vector<Batch> batches_;  // cut by size alone
};

/// Total variation of a one-step curve before its minimum, over the drop to it, minus 1: 0 if it only falls.
double excess_variation(const Vector& curve);

}  // namespace coarsegrad::theory
