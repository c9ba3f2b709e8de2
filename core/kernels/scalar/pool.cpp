#include "core/kernels/pool.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

// visit(o, i, number): value i of the input belongs to value o of the output as tap `number`; taps of one o in order.
template <class F>
void for_each_tap(const PoolRun& s, F visit) {
  for (std::int64_t p = 0; p < s.count; ++p)
    for (std::int64_t c = 0; c < s.channels; ++c)
      for (std::int64_t i = 0; i < s.rows; ++i)
        for (std::int64_t j = 0; j < s.cols; ++j)
          visit(p * s.channels + c, p * s.step + i * s.row_pitch + j * s.channels + c,
                static_cast<std::uint16_t>(s.first + i * s.number_pitch + j));
}

template <class T>
void max_forward(const PoolRun& s, const T* x, T* y, std::uint16_t* number) {
  std::int64_t last = -1;
  for_each_tap(s, [&](std::int64_t o, std::int64_t i, std::uint16_t tap) {
    if (o == last && !(x[i] > y[o]) && !std::isnan(x[i])) return;
    y[o] = x[i];
    if (number) number[o] = tap;
    last = o;
  });
}

template <class T>
void max_backward(const PoolRun& s, const T* dy, const std::uint16_t* number, T* dx) {
  for_each_tap(s, [&](std::int64_t o, std::int64_t i, std::uint16_t tap) {
    if (number[o] == tap) dx[i] += dy[o];
  });
}

template <class T>
void max_backward_disjoint(const PoolRun& s, const T* dy, const std::uint16_t* number, T* dx) {
  for_each_tap(s, [&](std::int64_t o, std::int64_t i, std::uint16_t tap) { dx[i] = number[o] == tap ? dy[o] : T(0); });
}

template <class T>
void average_forward(const PoolRun& s, const T* x, T divisor, T* y) {
  for (std::int64_t o = 0; o < s.count * s.channels; ++o) y[o] = 0;
  for_each_tap(s, [&](std::int64_t o, std::int64_t i, std::uint16_t) { y[o] += x[i]; });
  for (std::int64_t o = 0; o < s.count * s.channels; ++o) y[o] /= divisor;
}

template <class T>
void average_backward(const PoolRun& s, const T* dy, T divisor, T* dx) {
  for_each_tap(s, [&](std::int64_t o, std::int64_t i, std::uint16_t) { dx[i] += dy[o] / divisor; });
}

template <class T>
constexpr Pool<T> table{max_forward<T>, max_backward<T>, max_backward_disjoint<T>, average_forward<T>,
                        average_backward<T>};

}  // namespace

const Pool<float> pool = table<float>;
const Pool<double> pool_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
