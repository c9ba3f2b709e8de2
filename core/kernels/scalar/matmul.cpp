#include "core/kernels/matmul.h"

#include <algorithm>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

// Terms that are summed in a row before they are added to the others: a long sum keeps its last digits so.
constexpr std::int64_t kTermsInARow = 32;

// Computes kColumns neighbouring sums of row i. None depends on another, so that a compiler makes vectors of them;
// each is summed in the order of the loops.
template <int kColumns, class T>
void sum_products(const ProductTile<T>& t, int i, int j) {
  T sums[kColumns];
  T* c = t.c + i * t.c_row + j;
  for (int v = 0; v < kColumns; ++v) sums[v] = t.accumulate ? c[v] : t.bias ? t.bias[j + v] : T{0};
  for (std::int64_t s0 = 0; s0 < t.steps[0]; ++s0)
    for (std::int64_t s1 = 0; s1 < t.steps[1]; ++s1) {
      const T* a = t.a + i * t.a_row + s0 * t.a_step[0] + s1 * t.a_step[1];
      const T* b = t.b + j + s0 * t.b_step[0] + s1 * t.b_step[1];
      for (std::int64_t left = t.steps[2]; left > 0; left -= kTermsInARow) {
        T some[kColumns] = {};
        for (std::int64_t s2 = std::min(left, kTermsInARow); s2 > 0; --s2, a += t.a_step[2], b += t.b_step[2])
          for (int v = 0; v < kColumns; ++v) some[v] += *a * b[v];
        for (int v = 0; v < kColumns; ++v) sums[v] += some[v];
      }
    }
  std::copy_n(sums, kColumns, c);
}

template <class T>
void tile(const ProductTile<T>& t) {
  for (int i = 0; i < t.rows; ++i) {
    int j = 0;
    for (; j + 16 <= t.columns; j += 16) sum_products<16>(t, i, j);
    for (; j + 4 <= t.columns; j += 4) sum_products<4>(t, i, j);
    for (; j < t.columns; ++j) sum_products<1>(t, i, j);
  }
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
