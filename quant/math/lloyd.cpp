#include "quant/math/lloyd.h"

#include <cmath>

#include "core/base/check.h"
#include "quant/math/uniform_weight.h"

namespace coarsegrad {
namespace {

constexpr int kColdSteps = 100;

// What the codes take off |w|^2: <w, q>^2 / <q, q>.
template <class T>
double gain(std::span<const T> w, double delta, const std::int8_t* codes) {
  double squares = 0;
  for (std::size_t i = 0; i < w.size(); ++i) squares += codes[i] * codes[i];
  return delta * delta * squares;
}

}  // namespace

template <class T>
double lloyd(std::span<const T> w, double delta, int steps, int levels, std::int8_t* codes) {
  check(steps >= 1, "lloyd: given ", steps, " steps, expected 1 or more");
  for (int step = 0; step < steps; ++step) {
    const double before = delta;
    delta = encode_weights<T>(w, nearest_thresholds<T>(delta, levels), codes);
    if (delta == before) break;
  }
  return delta;
}

template <class T>
double lloyd_cold(std::span<const T> w, int levels, std::int8_t* codes) {
  const Magnitude<T> m = magnitude(w);
  const double mean = w.empty() ? 0 : m.sum / static_cast<double>(w.size());
  double best = 0, most = -1;
  for (const double start : {static_cast<double>(m.max) / levels, 2 * mean / levels, mean}) {
    const double delta = lloyd(w, start, kColdSteps, levels, codes);
    const double taken = gain(w, delta, codes);
    if (taken > most) {
      most = taken;
      best = delta;
    }
  }
  return lloyd(w, best, 1, levels, codes);
}

template <class T>
double lloyd_warm(std::span<const T> w, double delta, int steps, int levels, std::int8_t* codes) {
  if (std::isfinite(delta) && delta > 0) {
    const double next = lloyd(w, delta, steps, levels, codes);
    if (next != 0) return next;
  }
  return lloyd_cold(w, levels, codes);
}

#define COARSEGRAD_INSTANTIATE(T)                                            \
  template double lloyd(std::span<const T>, double, int, int, std::int8_t*); \
  template double lloyd_cold(std::span<const T>, int, std::int8_t*);         \
  template double lloyd_warm(std::span<const T>, double, int, int, std::int8_t*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
