#pragma once
// What moves along a training apart from the learning rate: the strength of a relaxation, the sharpness of a
// smooth quantizer.
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Where a training stands. A step is somewhere within an epoch: step / steps_per_epoch of them are behind
/// it.
struct Progress {
  double epoch = 0;   ///< 0 to epochs
  double epochs = 1;  ///< positive
  double share() const { return epoch / epochs; }
};

/// A part of a network that moves along the training.
class Scheduled {
 public:
  virtual ~Scheduled() = default;
  /// Called before each step. Depends on `at` alone, so that a training which was broken off needs no state.
  virtual void advance(const Progress& at) = 0;
};

/// advance() of every module of `net` that is Scheduled.
void advance(nn::Module& net, const Progress& at);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
