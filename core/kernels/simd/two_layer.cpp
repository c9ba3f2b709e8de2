#include "core/kernels/two_layer.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
const TwoLayer two_layer = scalar::two_layer;
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
