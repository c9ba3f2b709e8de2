#include "core/kernels/codes.h"

#include <algorithm>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class In>
void raise(std::int64_t n, const In* x, In* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = std::max(x[i], y[i]);
}

template <class In>
void accumulate(std::int64_t n, const In* x, std::int32_t* sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += x[i];
}

template <class In>
void add(std::int64_t n, const In* a, const In* b, std::int16_t* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<std::int16_t>(a[i] + b[i]);
}

template <class In>
void add_scaled(std::int64_t n, const In* a, float a_scale, const In* b, float b_scale, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float p = a_scale * static_cast<float>(a[i]), q = b_scale * static_cast<float>(b[i]);
    y[i] = p + q;
  }
}

template <class In>
constexpr CodeSweeps<In> kSweeps{raise<In>, accumulate<In>, add<In>, add_scaled<In>};

}  // namespace

const Codes codes{kSweeps<std::uint8_t>, kSweeps<std::int8_t>};

}  // namespace coarsegrad::kernels::scalar
