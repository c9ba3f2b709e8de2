#include "core/kernels/update.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class T>
void sgd(std::int64_t n, const SgdStep<T>& s, const T* g, T* w, T* buf) {
  for (std::int64_t i = 0; i < n; ++i) {
    T d = g[i] + s.weight_decay * w[i];
    if (s.momentum != 0) {
      buf[i] = s.first ? d : s.momentum * buf[i] + d;
      d = s.nesterov ? d + s.momentum * buf[i] : buf[i];
    }
    w[i] = w[i] - s.rate * d;
  }
}

template <class T>
void adam(std::int64_t n, const AdamStep<T>& s, const T* g, T* w, T* m, T* v) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T d = g[i] + s.weight_decay * w[i];
    m[i] = s.beta1 * m[i] + s.one_minus_beta1 * d;
    v[i] = s.beta2 * v[i] + s.one_minus_beta2 * d * d;
    w[i] = w[i] - s.step_size * m[i] / (std::sqrt(v[i]) / s.sqrt_correction2 + s.epsilon);
  }
}

template <class T>
constexpr Update<T> table{sgd<T>, adam<T>};

}  // namespace

const Update<float> update = table<float>;
const Update<double> update_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
