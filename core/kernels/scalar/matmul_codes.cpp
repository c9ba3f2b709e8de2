#include "core/kernels/matmul_codes.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

std::int32_t sum_of_products(const CodeTile& t, int i, int j) {
  std::int32_t sum = 0;
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      for (std::int64_t s2 = 0; s2 < t.steps[2]; ++s2) {
        const std::uint8_t* a = t.a + i * t.a_row + s0 * t.a_step[0] + s1 * t.a_step[1] + s2 * t.a_step[2];
        const std::int8_t* b = t.b + s0 * t.b_step[0] + s1 * t.b_step[1] + s2 * t.b_step[2];
        for (int k = 0; k < kCodesPerStep; ++k) sum += a[k] * b[kCodesPerStep * j + k];
      }
  return sum;
}

void tile(const CodeTile& t) {
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.columns; ++j)
      t.c[i * t.c_row + j] =
          std::fma(t.scale[j], static_cast<float>(sum_of_products(t, i, j)), t.bias ? t.bias[j] : 0.f);
}

void pack(int columns, int width, std::int64_t steps, const std::int8_t* from, std::int64_t from_row, std::int8_t* to) {
  for (std::int64_t s = 0; s < steps; ++s)
    for (int j = 0; j < width; ++j)
      for (int k = 0; k < kCodesPerStep; ++k, ++to)
        *to = j < columns ? from[j * from_row + kCodesPerStep * s + k] : std::int8_t{0};
}

}  // namespace

const MatmulCodes matmul_codes{16, {0, 16, 0, 0, 0}, tile, pack};

}  // namespace coarsegrad::kernels::scalar
