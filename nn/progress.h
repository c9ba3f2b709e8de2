#pragma once
// Progress: where a training stands.
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// A step is somewhere within an epoch: step / steps_per_epoch of them are behind it.
struct Progress {
  double epoch = 0;   ///< 0 to epochs
  double epochs = 1;  ///< positive
  double share() const { return epoch / epochs; }
};

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
