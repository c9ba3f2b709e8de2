#include "core/kernels/update.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// The next value of the buffer from the old one and d; `first` as in SgdStep.
template <bool first, bool nesterov>
void sgd_with_momentum(std::int64_t n, const SgdStep<float>& s, const float* g, float* w, float* buf) {
  const F32 rate = set1(s.rate), momentum = set1(s.momentum), decay = set1(s.weight_decay);
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const F32 old = lanes.load(w + i), d = lanes.load(g + i) + decay * old;
    F32 b = d;
    if constexpr (!first) b = momentum * lanes.load(buf + i) + d;
    lanes.store(buf + i, b);
    lanes.store(w + i, old - rate * (nesterov ? d + momentum * b : b));
  });
}

void sgd(std::int64_t n, const SgdStep<float>& s, const float* g, float* w, float* buf) {
  if (s.momentum != 0) {
    if (s.first)
      (s.nesterov ? sgd_with_momentum<true, true> : sgd_with_momentum<true, false>)(n, s, g, w, buf);
    else
      (s.nesterov ? sgd_with_momentum<false, true> : sgd_with_momentum<false, false>)(n, s, g, w, buf);
    return;
  }
  const F32 rate = set1(s.rate), decay = set1(s.weight_decay);
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const F32 old = lanes.load(w + i);
    lanes.store(w + i, old - rate * (lanes.load(g + i) + decay * old));
  });
}

void adam(std::int64_t n, const AdamStep<float>& s, const float* g, float* w, float* m, float* v) {
  const F32 beta1 = set1(s.beta1), beta2 = set1(s.beta2), rest1 = set1(s.one_minus_beta1),
            rest2 = set1(s.one_minus_beta2), epsilon = set1(s.epsilon), decay = set1(s.weight_decay),
            step_size = set1(s.step_size), correction = set1(s.sqrt_correction2);
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const F32 old = lanes.load(w + i), d = lanes.load(g + i) + decay * old;
    const F32 first = beta1 * lanes.load(m + i) + rest1 * d;
    const F32 second = beta2 * lanes.load(v + i) + rest2 * d * d;
    lanes.store(m + i, first);
    lanes.store(v + i, second);
    lanes.store(w + i, old - step_size * first / (sqrt(second) / correction + epsilon));
  });
}

}  // namespace

const Update<float> update{sgd, adam};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
