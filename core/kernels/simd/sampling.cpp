#include "core/kernels/sampling.h"

#include "core/kernels/tables.h"
#include "core/kernels/simd/vec.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
const Sampling sampling = scalar::sampling;
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
