#pragma once
// Progress: where a training stands.
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// Where a training stands before a step, for what moves along with it.
struct Progress {
  double epoch = 0;   ///< epochs behind it, 0 to `epochs`; each step adds 1 / steps per epoch
  double epochs = 1;  ///< of the whole training, positive
  /// Share of the training that is behind it, 0 to 1.
  double share() const { return epoch / epochs; }
};

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
