#include "core/kernels/math.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class T>
void exp(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = std::exp(x[i]);
}

template <class T>
void log(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = std::log(x[i]);
}

template <class T>
void tanh(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = std::tanh(x[i]);
}

template <class T>
void sigmoid(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = 1 / (1 + std::exp(-x[i]));
}

template <class T>
T largest(std::int64_t cols, const T* x) {
  T m = x[0];
  for (std::int64_t c = 1; c < cols; ++c)
    if (x[c] > m || std::isnan(x[c])) m = x[c];
  return m;
}

template <class T>
void softmax(std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  for (std::int64_t r = 0; r < rows && cols > 0; ++r, x += cols, y += cols) {
    const T m = largest(cols, x);
    double sum = 0;
    for (std::int64_t c = 0; c < cols; ++c) sum += y[c] = std::exp(x[c] - m);
    for (std::int64_t c = 0; c < cols; ++c) y[c] /= static_cast<T>(sum);
  }
}

template <class T>
void log_softmax(std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  for (std::int64_t r = 0; r < rows && cols > 0; ++r, x += cols, y += cols) {
    const T m = largest(cols, x);
    double sum = 0;
    for (std::int64_t c = 0; c < cols; ++c) sum += std::exp(x[c] - m);
    const T log_sum = static_cast<T>(std::log(sum));
    for (std::int64_t c = 0; c < cols; ++c) y[c] = (x[c] - m) - log_sum;
  }
}

template <class T>
constexpr Math<T> table{exp<T>, log<T>, tanh<T>, sigmoid<T>, softmax<T>, log_softmax<T>};

}  // namespace

const Math<float> math = table<float>;
const Math<double> math_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
