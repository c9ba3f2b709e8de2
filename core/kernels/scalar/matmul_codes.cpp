#include "core/kernels/matmul_codes.h"

#include <cmath>

#include "core/kernels/scalar/pack_codes.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class In>
std::int32_t sum_of_products(const CodeTile<In>& t, int i, int j) {
  std::int32_t sum = 0;
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      for (std::int64_t s2 = 0; s2 < t.steps[2]; ++s2) {
        const In* a = t.a + i * t.a_row + s0 * t.a_step[0] + s1 * t.a_step[1] + s2 * t.a_step[2];
        const std::int8_t* b = t.b + s0 * t.b_step[0] + s1 * t.b_step[1] + s2 * t.b_step[2];
        for (int k = 0; k < kCodesPerStep; ++k) sum += a[k] * b[kCodesPerStep * j + k];
      }
  return sum;
}

template <class In>
void tile(const CodeTile<In>& t) {
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.columns; ++j) {
      const std::int32_t sum = sum_of_products(t, i, j);
      if (t.sums)
        t.sums[i * t.c_row + j] = sum;
      else
        t.c[i * t.c_row + j] = std::fma(t.scale[j], static_cast<float>(sum), t.bias ? t.bias[j] : 0.f);
    }
}

template <class In>
constexpr CodeProduct<In> kProduct{16, {0, 16, 0, 0, 0}, 1, tile<In>, pack_codes};

}  // namespace

const MatmulCodes matmul_codes{kProduct<std::uint8_t>, kProduct<std::int8_t>};

}  // namespace coarsegrad::kernels::scalar
