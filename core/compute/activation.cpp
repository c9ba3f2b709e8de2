#include "core/compute/activation.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/pieces.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

static_assert(kTaskElements % 8 == 0, "a task begins at a whole byte of the mask");

template <class P>
P* at(P* p, std::int64_t i) {
  return p ? p + i : nullptr;
}

}  // namespace

template <class T>
void check_quantizer(kernels::Quantizer<T> q) {
  using limits = std::numeric_limits<T>;
  check(q.alpha >= limits::min() && q.alpha <= limits::max(), "activation quantizer: given alpha = ", q.alpha,
        ", expected a positive number that is neither infinite nor subnormal");
  check(q.levels >= 1 && q.levels <= 255, "activation quantizer: given ", q.levels, " levels, expected 1 to 255");
  check(q.steps >= limits::min() && q.scale() >= limits::min() && q.scale() <= limits::max(),
        "activation quantizer: given ", q.steps, " steps within alpha = ", q.alpha,
        ", expected a quotient that is a normal number");
}

template <class T>
void relu_forward(std::int64_t n, const T* x, T* y, std::uint8_t* mask) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<T>().activation.relu(end - begin, x + begin, at(y, begin), at(mask, begin / 8));
  });
}

template <class T>
void mask_backward(std::int64_t n, const std::uint8_t* mask, const T* dy, T* dx) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<T>().activation.apply_mask(end - begin, mask + begin / 8, dy + begin, dx + begin);
  });
}

template <class T>
bool quantize_forward(std::int64_t n, const T* x, kernels::Quantizer<T> quantizer,
                      const std::type_identity_t<kernels::PassBand<T>>& pass, T* y, std::uint8_t* codes,
                      std::uint8_t* mask) {
  check_quantizer(quantizer);
  const auto quantize = real_kernels<T>().activation.quantize;
  std::atomic<bool> any_nan = false;
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    if (quantize(end - begin, x + begin, quantizer, pass, at(y, begin), at(codes, begin), at(mask, begin / 8)))
      any_nan = true;
  });
  return any_nan;
}

template <class T>
void quantize_decode(std::int64_t n, const std::uint8_t* codes, T alpha, T* y) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<T>().activation.decode(end - begin, codes + begin, alpha, y + begin);
  });
}

template <class T>
double quantize_alpha_gradient(std::int64_t n, const T* x, const T* dy, kernels::Quantizer<T> quantizer,
                               AlphaRule rule) {
  check_quantizer(quantizer);
  check(quantizer.rounding == kernels::Rounding::up && quantizer.steps == 1,
        "gradient of alpha: expected a quantizer that rounds up x / alpha");
  return sum_of_pieces(n, [&](std::int64_t begin, std::int64_t count) {
    return real_kernels<T>().activation.alpha_gradient(count, x + begin, dy + begin, quantizer.alpha, quantizer.levels,
                                                       rule);
  });
}

template <class T>
double quantize_alpha_gradient(std::int64_t n, const std::uint8_t* codes, const std::uint8_t* clipped_mask, const T* dy,
                               int levels, AlphaRule rule) {
  check(clipped_mask || rule == AlphaRule::exact || n == 0,
        "activation quantizer: this alpha rule needs the clipped mask");
  return sum_of_pieces(n, [&](std::int64_t begin, std::int64_t count) {
    return real_kernels<T>().activation.alpha_gradient_codes(count, codes + begin, at(clipped_mask, begin / 8),
                                                             dy + begin, levels, rule);
  });
}

template <class T>
double quantize_step_gradient(std::int64_t n, const T* x, const std::uint8_t* codes, const T* dy,
                              kernels::Quantizer<T> quantizer) {
  check_quantizer(quantizer);
  check(quantizer.rounding == kernels::Rounding::nearest && quantizer.steps == 1,
        "gradient of a step: expected a quantizer that rounds x / alpha to the nearest");
  return sum_of_pieces(n, [&](std::int64_t begin, std::int64_t count) {
    return real_kernels<T>().activation.step_gradient(count, x + begin, codes + begin, dy + begin, quantizer.alpha,
                                                      quantizer.levels);
  });
}

#define COARSEGRAD_INSTANTIATE(T)                                                                                \
  template void check_quantizer(kernels::Quantizer<T>);                                                          \
  template void relu_forward(std::int64_t, const T*, T*, std::uint8_t*);                                         \
  template void mask_backward(std::int64_t, const std::uint8_t*, const T*, T*);                                  \
  template bool quantize_forward(std::int64_t, const T*, kernels::Quantizer<T>, const kernels::PassBand<T>&, T*, \
                                 std::uint8_t*, std::uint8_t*);                                                  \
  template void quantize_decode(std::int64_t, const std::uint8_t*, T, T*);                                       \
  template double quantize_alpha_gradient(std::int64_t, const T*, const T*, kernels::Quantizer<T>, AlphaRule);   \
  template double quantize_alpha_gradient(std::int64_t, const std::uint8_t*, const std::uint8_t*, const T*, int, \
                                          AlphaRule);                                                            \
  template double quantize_step_gradient(std::int64_t, const T*, const std::uint8_t*, const T*, kernels::Quantizer<T>);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
