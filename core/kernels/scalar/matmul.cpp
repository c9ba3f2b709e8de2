#include "core/kernels/matmul.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class T>
T sum_of_products(const ProductTile<T>& t, int i, int j) {
  T sum = t.accumulate ? t.c[i * t.c_row + j] : t.bias ? t.bias[j] : T{0};
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1)
      for (std::int64_t s2 = 0; s2 < t.steps[2]; ++s2)
        sum += t.a[i * t.a_row + s0 * t.a_step[0] + s1 * t.a_step[1] + s2 * t.a_step[2]] *
               t.b[j + s0 * t.b_step[0] + s1 * t.b_step[1] + s2 * t.b_step[2]];
  return sum;
}

template <class T>
void tile(const ProductTile<T>& t) {
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.columns; ++j) t.c[i * t.c_row + j] = sum_of_products(t, i, j);
}

template <class T>
void transpose(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t from_row, T* to,
               std::int64_t to_row) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * to_row + i] = from[i * from_row + j];
}

}  // namespace

const Matmul<float> matmul{0, {}, tile<float>, transpose<float>};
const Matmul<double> matmul_f64{0, {}, tile<double>, transpose<double>};

}  // namespace coarsegrad::kernels::scalar
