#pragma once
// The entry points of each instruction set, one constant per family. Only dispatch.cpp puts them into tables.
#include "core/kernels/sampling.h"

namespace coarsegrad::kernels {
namespace scalar {
extern const Sampling sampling;
}
namespace avx2 {
extern const Sampling sampling;
}
namespace avx512 {
extern const Sampling sampling;
}
}  // namespace coarsegrad::kernels
