#include "core/kernels/precision.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

void widen(std::int64_t n, const Bfloat16* x, float* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = to_float(x[i]);
}

void round(std::int64_t n, const float* x, Bfloat16* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = to_bfloat16(x[i]);
}

void round_values(std::int64_t n, const float* x, float* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = to_float(to_bfloat16(x[i]));
}

}  // namespace

const Precision precision{widen, round, round_values};

}  // namespace coarsegrad::kernels::scalar
