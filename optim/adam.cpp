#include "optim/adam.h"

#include <cmath>

#include "core/base/check.h"
#include "core/compute/elementwise.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

Adam::Adam(std::vector<Parameter*> parameters, const AdamOptions& o)
    : UpdateRule(std::move(parameters), o.lr), options_(o), mean_(add_slot("mean")), square_(add_slot("square")) {
  const auto is_share = [](double beta) { return beta >= 0 && beta < 1; };
  check(is_share(o.beta1) && is_share(o.beta2), "adam: given beta1 ", o.beta1, " and beta2 ", o.beta2,
        ", expected 0 <= beta < 1");
  check(in_range(o.epsilon, 0) && in_range(o.weight_decay, 0), "adam: given epsilon ", o.epsilon, " and weight decay ",
        o.weight_decay, ", expected finite ones, none negative");
}

void Adam::update(std::size_t index, Parameter& p, double rate) {
  Tensor &mean = slot(mean_, index), &square = slot(square_, index);
  if (!mean.defined()) {
    mean = Tensor(p.value.shape());
    square = Tensor(p.value.shape());
  }
  const auto t = static_cast<double>(steps(index));
  const AdamOptions& o = options_;
  const double step_size = rate / (1 - std::pow(o.beta1, t));
  check(in_range(step_size, 0), "adam: given a learning rate of ", rate, " and beta1 ", o.beta1,
        ", expected a finite quotient of the two");
  const AdamStep<Real> step{static_cast<Real>(o.beta1),     static_cast<Real>(o.beta2),
                            static_cast<Real>(1 - o.beta1), static_cast<Real>(1 - o.beta2),
                            static_cast<Real>(o.epsilon),   static_cast<Real>(p.decay ? o.weight_decay : 0),
                            static_cast<Real>(step_size),   static_cast<Real>(std::sqrt(1 - std::pow(o.beta2, t)))};
  adam_update<Real>(p.value.numel(), step, p.grad().data(), p.value.mutable_data(), mean.mutable_data(),
                    square.mutable_data());
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
