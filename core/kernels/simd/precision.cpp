#include "core/kernels/precision.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

void widen(std::int64_t n, const Bfloat16* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, lanes.load(x + i)); });
}

void round(std::int64_t n, const float* x, Bfloat16* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { lanes.store(y + i, lanes.load(x + i)); });
}

void round_values(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    lanes.store(y + i, upper_half_as_float(upper_half_rounded(lanes.load(x + i))));
  });
}

}  // namespace

const Precision precision{widen, round, round_values};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
