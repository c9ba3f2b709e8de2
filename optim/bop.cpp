#include "optim/bop.h"

#include <cmath>

#include "core/base/check.h"
#include "core/in_range.h"
#include "core/map.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

Bop::Bop(std::vector<Parameter*> parameters, const BopOptions& o)
    : UpdateRule(std::move(parameters), o.lr), threshold_(o.threshold), mean_(add_slot("mean")) {
  check(o.lr <= 1 && in_range(o.threshold, 0), "bop: given gamma ", o.lr, " and threshold ", o.threshold,
        ", expected gamma in [0, 1] and a finite threshold >= 0");
}

void Bop::update(std::size_t index, Parameter& p, double rate) {
  check(rate <= 1, "bop: given gamma ", rate, ", expected at most 1");
  Tensor& mean = slot(mean_, index);
  if (!mean.defined()) mean = Tensor(p.value.shape());
  const auto gamma = static_cast<Real>(rate), keep = static_cast<Real>(1 - rate);
  const auto threshold = static_cast<Real>(threshold_);
  const Real* g = p.grad().data();
  Real *m = mean.mutable_data(), *w = p.value.mutable_data();
  parallel_ranges(p.value.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      m[i] = keep * m[i] + gamma * g[i];
      if (std::abs(m[i]) > threshold && ((m[i] > 0 && w[i] > 0) || (m[i] < 0 && w[i] < 0))) w[i] = -w[i];
    }
  });
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
