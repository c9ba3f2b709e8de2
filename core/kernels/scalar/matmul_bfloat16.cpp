#include "core/kernels/matmul_bfloat16.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

float sum_of_products(const Bfloat16Tile& t, int i, int j, float start) {
  float sum = start;
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      for (std::int64_t s2 = 0; s2 < t.steps[2]; ++s2) {
        const Bfloat16* a = t.a + i * t.a_row + s0 * t.a_step[0] + s1 * t.a_step[1] + s2 * t.a_step[2];
        const Bfloat16* b = t.b + s0 * t.b_step[0] + s1 * t.b_step[1] + s2 * t.b_step[2];
        for (int k = 0; k < kBfloat16PerStep; ++k) sum += to_float(a[k]) * to_float(b[kBfloat16PerStep * j + k]);
      }
  return sum;
}

void tile(const Bfloat16Tile& t) {
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.columns; ++j) {
      float& c = t.c[i * t.c_row + j];
      c = sum_of_products(t, i, j, t.accumulate ? c : t.bias ? t.bias[j] : 0.f);
    }
}

}  // namespace

const MatmulBfloat16 matmul_bfloat16{0, {}, 1, tile};

}  // namespace coarsegrad::kernels::scalar
