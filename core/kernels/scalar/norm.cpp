#include "core/kernels/norm.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class T>
void moments(std::int64_t rows, std::int64_t cols, const T* x, double* mean, double* m2) {
  for (std::int64_t c = 0; c < cols; ++c) {
    double sum = 0;
    for (std::int64_t r = 0; r < rows; ++r) sum += x[r * cols + c];
    mean[c] = sum / static_cast<double>(rows);
    m2[c] = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const double d = x[r * cols + c] - mean[c];
      m2[c] += d * d;
    }
  }
}

template <class T>
void normalize(std::int64_t rows, std::int64_t cols, const T* x, const T* mean, const T* factor,
               const T* shift, T* y) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      y[r * cols + c] = (x[r * cols + c] - mean[c]) * factor[c] + shift[c];
}

template <class T>
void backward_sums(std::int64_t rows, std::int64_t cols, const T* x, const T* dy, const T* mean,
                   double* sum_dy, double* sum_dyx) {
  for (std::int64_t c = 0; c < cols; ++c) {
    sum_dy[c] = sum_dyx[c] = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t i = r * cols + c;
      sum_dy[c] += dy[i];
      sum_dyx[c] += static_cast<double>(dy[i]) * (static_cast<double>(x[i]) - mean[c]);
    }
  }
}

template <class T>
void backward(std::int64_t rows, std::int64_t cols, const T* x, const T* dy, const T* mean, const T* mean_dy,
              const T* slope, const T* factor, T* dx) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::int64_t i = r * cols + c;
      dx[i] = ((dy[i] - mean_dy[c]) - (x[i] - mean[c]) * slope[c]) * factor[c];
    }
}

template <class T>
constexpr Norm<T> table{moments<T>, normalize<T>, backward_sums<T>, backward<T>};

}  // namespace

const Norm<float> norm = table<float>;
const Norm<double> norm_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
