#include "core/masked_gradient.h"

#include "core/base/elements.h"
#include "core/compute/activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

void MaskedGradient::read(std::int64_t begin, std::int64_t end, Real* out) const {
  const ElementWindow<Real> gradient(gradient_.elements(), begin, end);
  mask_backward<Real>(end - begin, mask_->data() + begin / 8, gradient.data(), out);
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
