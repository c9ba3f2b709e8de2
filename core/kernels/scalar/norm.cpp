#include "core/kernels/norm.h"

#include <cmath>

#include "core/kernels/scalar/quantizer.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

// An element as it is computed with, and a result as it is kept.
float real(float x) { return x; }
double real(double x) { return x; }
float real(Bfloat16 x) { return to_float(x); }
float narrowed(float value, float) { return value; }
double narrowed(double value, double) { return value; }
Bfloat16 narrowed(float value, Bfloat16) { return to_bfloat16(value); }

template <class Kept>
void moments(std::int64_t rows, std::int64_t cols, const Kept* x, double* mean, double* m2) {
  for (std::int64_t c = 0; c < cols; ++c) {
    double sum = 0;
    for (std::int64_t r = 0; r < rows; ++r) sum += real(x[r * cols + c]);
    mean[c] = sum / static_cast<double>(rows);
    m2[c] = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const double d = real(x[r * cols + c]) - mean[c];
      m2[c] += d * d;
    }
  }
}

template <class T, class Kept>
void normalize(std::int64_t rows, std::int64_t cols, const Kept* x, const T* mean, const T* factor, const T* shift,
               T* y) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) y[r * cols + c] = (real(x[r * cols + c]) - mean[c]) * factor[c] + shift[c];
}

template <class T, class Kept>
T normalized(std::int64_t i, std::int64_t c, const Kept* x, const T* mean, const T* factor, const T* shift,
             const T* add) {
  const T t = (real(x[i]) - mean[c]) * factor[c] + shift[c];
  return add ? t + add[i] : t;
}

void set(std::uint8_t* mask, std::int64_t i, bool on) {
  const unsigned bit = 1u << i % 8;
  mask[i / 8] = static_cast<std::uint8_t>(on ? mask[i / 8] | bit : mask[i / 8] & ~bit);
}

template <class T, class Kept>
void normalize_relu(std::int64_t rows, std::int64_t cols, const Kept* x, const T* mean, const T* factor, const T* shift,
                    const T* add, T* y, std::uint8_t* mask) {
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const T t = normalized(i, i % cols, x, mean, factor, shift, add);
    if (mask) set(mask, i, t > 0);
    if (y) y[i] = t > 0 || std::isnan(t) ? t : T(0);
  }
}

template <class T, class Kept>
bool normalize_quantize(std::int64_t rows, std::int64_t cols, const Kept* x, const T* mean, const T* factor,
                        const T* shift, const T* add, Quantizer<T> quantizer, PassBand<T> pass, std::uint8_t* codes,
                        std::uint8_t* mask) {
  bool any_nan = false;
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const T q = quotient(normalized(i, i % cols, x, mean, factor, shift, add), quantizer);
    any_nan = any_nan || std::isnan(q);
    if (mask) set(mask, i, q > pass.above && q <= pass.upto);
    codes[i] = static_cast<std::uint8_t>(code_of(q, quantizer));
  }
  return any_nan;
}

template <class Kept>
Kept gated_at(const Kept* dy, const std::uint8_t* mask, std::int64_t i) {
  return !mask || (mask[i / 8] >> i % 8 & 1) ? dy[i] : Kept{};
}

template <class T, class Kept>
void backward_sums(std::int64_t rows, std::int64_t cols, const Kept* x, const Kept* dy, const std::uint8_t* mask,
                   const T* mean, double* sum_g, double* sum_gx, Kept* gated) {
  for (std::int64_t c = 0; c < cols; ++c) {
    sum_g[c] = sum_gx[c] = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t i = r * cols + c;
      const Kept kept = gated_at(dy, mask, i);
      const double g = real(kept);
      sum_g[c] += g;
      sum_gx[c] += g * (static_cast<double>(real(x[i])) - mean[c]);
      if (gated) gated[i] = kept;
    }
  }
}

template <class T, class Kept>
void backward(std::int64_t rows, std::int64_t cols, const Kept* x, const Kept* dy, const std::uint8_t* mask,
              const T* mean, const T* mean_g, const T* slope, const T* factor, Kept* dx) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::int64_t i = r * cols + c;
      const T g = real(gated_at(dy, mask, i));
      dx[i] = narrowed(((g - mean_g[c]) - (real(x[i]) - mean[c]) * slope[c]) * factor[c], Kept{});
    }
}

template <class T, class Kept = T>
constexpr Norm<T, Kept> table{moments<Kept>,           normalize<T, Kept>,
                              normalize_relu<T, Kept>, normalize_quantize<T, Kept>,
                              backward_sums<T, Kept>,  backward<T, Kept>};

}  // namespace

const Norm<float> norm = table<float>;
const Norm<double> norm_f64 = table<double>;
const NormOfBfloat16 norm_of_bfloat16 = table<float, Bfloat16>;

}  // namespace coarsegrad::kernels::scalar
