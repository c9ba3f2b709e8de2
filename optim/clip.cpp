#include "optim/clip.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {
namespace {

constexpr std::int64_t kBlock = 1 << 14;  // elements per task

std::int64_t blocks(std::int64_t n) { return (n + kBlock - 1) / kBlock; }

double sum_of_squares(std::span<const Real> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  const Scratch<double> partial(static_cast<std::size_t>(blocks(n)));
  parallel_for(blocks(n), [&](std::int64_t b) {
    double sum = 0;
    for (std::int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
      const double v = values[static_cast<std::size_t>(i)];
      sum += v * v;
    }
    partial[static_cast<std::size_t>(b)] = sum;
  });
  double total = 0;
  for (std::size_t b = 0; b < static_cast<std::size_t>(blocks(n)); ++b) total += partial[b];
  return total;
}

/// g = f(g) for every element g of every gradient.
template <class F>
void change_gradients(const std::vector<Parameter*>& parameters, F f) {
  for (Parameter* p : parameters) {
    if (!p->grad().defined()) continue;
    Tensor grad = p->grad();
    p->zero_grad();  // so that `grad` alone owns the buffer and nothing is copied
    Real* g = grad.mutable_data();
    const std::int64_t n = grad.numel();
    parallel_for(blocks(n), [&](std::int64_t b) {
      for (std::int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) g[i] = f(g[i]);
    });
    p->set_grad(std::move(grad));
  }
}

}  // namespace

double grad_norm(const std::vector<Parameter*>& parameters) {
  double total = 0;
  for (const Parameter* p : parameters) total += sum_of_squares(p->grad().view());
  return std::sqrt(total);
}

double clip_grad_norm(const std::vector<Parameter*>& parameters, double max_norm) {
  check(max_norm > 0, "clip_grad_norm: given a norm of ", max_norm, ", expected > 0");
  const double norm = grad_norm(parameters);
  check(std::isfinite(norm), "clip_grad_norm: the gradients have norm ", norm, ", expected a finite one");
  const double factor = max_norm / (norm + 1e-6);
  if (factor < 1) change_gradients(parameters, [f = static_cast<Real>(factor)](Real g) { return g * f; });
  return norm;
}

void clip_grad_value(const std::vector<Parameter*>& parameters, double limit) {
  check(limit > 0, "clip_grad_value: given a limit of ", limit, ", expected > 0");
  const Real bound = in_range(limit, 0) ? static_cast<Real>(limit) : std::numeric_limits<Real>::infinity();
  change_gradients(parameters, [bound](Real g) { return std::clamp(g, -bound, bound); });
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
