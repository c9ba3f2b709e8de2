#include "core/kernels/projection.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

struct Sum16 {
  double lane[16] = {};
  void add(std::int64_t i, double x) { lane[i % 16] += x; }
  double total() const {
    double sum = 0;
    for (const double x : lane) sum += x;
    return sum;
  }
};

template <class T>
void magnitude(std::int64_t n, const T* x, double* sum, T* max) {
  Sum16 sums;
  *max = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const T a = std::abs(x[i]);
    sums.add(i, static_cast<double>(a));
    if (a > *max) *max = a;
  }
  *sum = sums.total();
}

template <class T>
void encode(std::int64_t n, const T* x, int levels, const T* thresholds, std::int8_t* codes, double* sum,
            std::int64_t* squares) {
  Sum16 sums;
  *squares = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const T a = std::abs(x[i]);
    int level = 0;
    for (int k = 0; k < levels; ++k) level += a >= thresholds[k];
    codes[i] = static_cast<std::int8_t>(x[i] < 0 ? -level : level);
    sums.add(i, static_cast<double>(a) * level);
    *squares += level * level;
  }
  *sum = sums.total();
}

template <class T>
void decode(std::int64_t n, const std::int8_t* codes, T scale, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = scale * static_cast<T>(codes[i]);
}

template <class T>
constexpr Projection<T> table{magnitude<T>, encode<T>, decode<T>};

}  // namespace

const Projection<float> projection = table<float>;
const Projection<double> projection_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
