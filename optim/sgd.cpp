#include "optim/sgd.h"

#include "core/base/check.h"
#include "core/compute/elementwise.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

Sgd::Sgd(std::vector<Parameter*> parameters, const SgdOptions& o)
    : UpdateRule(std::move(parameters), o.lr), options_(o), momentum_(add_slot("momentum")) {
  check(in_range(o.momentum, 0, 1) && in_range(o.weight_decay, 0) && (!o.nesterov || o.momentum > 0),
        "sgd: given momentum ", o.momentum, ", weight decay ", o.weight_decay, ", nesterov ", o.nesterov,
        ", expected momentum from 0 to 1, a finite decay >= 0, nesterov with momentum");
}

void Sgd::update(std::size_t index, Parameter& p, double rate) {
  Tensor& buffer = slot(momentum_, index);
  const bool first = !buffer.defined();
  if (first && options_.momentum > 0) buffer = Tensor::uninitialized(p.value.shape());
  const SgdStep<Real> step{static_cast<Real>(rate), static_cast<Real>(options_.momentum),
                           static_cast<Real>(p.decay ? options_.weight_decay : 0), options_.nesterov, first};
  sgd_update<Real>(p.value.numel(), step, p.grad().data(), p.value.mutable_data(), buffer.mutable_data());
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
