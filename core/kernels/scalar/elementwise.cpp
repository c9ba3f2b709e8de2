#include "core/kernels/elementwise.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class T>
void accumulate(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
void scale(std::int64_t n, T a, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = a * x[i];
}

template <class T>
void add_row(std::int64_t rows, std::int64_t cols, const T* row, const T* x, T* y) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) y[r * cols + c] = x[r * cols + c] + row[c];
}

template <class T>
void column_sums(std::int64_t rows, std::int64_t cols, const T* x, double* sums) {
  for (std::int64_t c = 0; c < cols; ++c) sums[c] = 0;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) sums[c] += x[r * cols + c];
}

template <class T>
constexpr Elementwise<T> table{accumulate<T>, scale<T>, add_row<T>, column_sums<T>};

}  // namespace

const Elementwise<float> elementwise = table<float>;
const Elementwise<double> elementwise_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
