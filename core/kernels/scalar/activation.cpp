#include "core/kernels/activation.h"

#include <cmath>

#include "core/kernels/scalar/quantizer.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

void clear(std::int64_t n, std::uint8_t* mask) {
  for (std::int64_t i = 0; mask && i < (n + 7) / 8; ++i) mask[i] = 0;
}

void set(std::uint8_t* mask, std::int64_t i) { mask[i / 8] = static_cast<std::uint8_t>(mask[i / 8] | 1u << i % 8); }

bool test(const std::uint8_t* mask, std::int64_t i) { return mask[i / 8] >> i % 8 & 1; }

template <class T>
void relu(std::int64_t n, const T* x, T* y, std::uint8_t* mask) {
  clear(n, mask);
  for (std::int64_t i = 0; i < n; ++i) {
    if (mask && x[i] > 0) set(mask, i);
    if (y) y[i] = x[i] > 0 || std::isnan(x[i]) ? x[i] : T(0);
  }
}

template <class T>
bool quantize(std::int64_t n, const T* x, Quantizer<T> quantizer, PassBand<T> pass, T* y, std::uint8_t* codes,
              std::uint8_t* mask) {
  clear(n, mask);
  bool any_nan = false;
  for (std::int64_t i = 0; i < n; ++i) {
    const T q = quotient(x[i], quantizer);
    any_nan = any_nan || std::isnan(q);
    const int code = code_of(q, quantizer);
    if (mask && q > pass.above && q <= pass.upto) set(mask, i);
    if (codes) codes[i] = static_cast<std::uint8_t>(code);
    if (y) y[i] = std::isnan(q) ? q : quantizer.scale() * static_cast<T>(code);
  }
  return any_nan;
}

template <class T>
void decode(std::int64_t n, const std::uint8_t* codes, T alpha, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = alpha * static_cast<T>(codes[i]);
}

template <class T>
void apply_mask(std::int64_t n, const std::uint8_t* mask, const T* dy, T* dx) {
  for (std::int64_t i = 0; i < n; ++i) dx[i] = test(mask, i) ? dy[i] : T(0);
}

int inside_value(int code, int levels, AlphaRule rule) {
  if (rule == AlphaRule::exact) return code;
  return rule == AlphaRule::three_valued ? (levels + 1) / 2 : 0;
}

template <class T>
double alpha_gradient(std::int64_t n, const T* x, const T* dy, T alpha, int levels, AlphaRule rule) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const T q = x[i] / alpha;
    if (!(q > 0)) continue;
    const int code = code_of(q, Quantizer<T>{alpha, levels});
    const int d = q > static_cast<T>(levels) ? levels : inside_value(code, levels, rule);
    sum += static_cast<double>(dy[i]) * d;
  }
  return sum;
}

template <class T>
double alpha_gradient_codes(std::int64_t n, const std::uint8_t* codes, const std::uint8_t* mask, const T* dy,
                            int levels, AlphaRule rule) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const bool inside = rule != AlphaRule::exact && test(mask, i);
    sum += static_cast<double>(dy[i]) * (inside ? inside_value(codes[i], levels, rule) : codes[i]);
  }
  return sum;
}

template <class T>
double step_gradient(std::int64_t n, const T* x, const std::uint8_t* codes, const T* dy, T step, int levels) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const T q = x[i] / step, code = static_cast<T>(codes[i]);
    const T d = q > 0 && q <= static_cast<T>(levels) ? code - q : code;
    sum += static_cast<double>(dy[i]) * static_cast<double>(d);
  }
  return sum;
}

template <class T>
constexpr Activation<T> table{
    relu<T>, quantize<T>, decode<T>, apply_mask<T>, alpha_gradient<T>, alpha_gradient_codes<T>, step_gradient<T>};

}  // namespace

const Activation<float> activation = table<float>;
const Activation<double> activation_f64 = table<double>;

}  // namespace coarsegrad::kernels::scalar
