#include "quant/activations/clipped_relu.h"

#include "core/base/check.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

void describe(OptionVisitor& v, ClippedReluOptions& o) {
  v.number({"end", "1", "largest output"}, o.end, {ClippedRelu::kLeastEnd, ClippedRelu::kMostEnd});
}

ClippedRelu::ClippedRelu(const ClippedReluOptions& o) : end_(static_cast<Real>(o.end)) {
  check(o.end >= kLeastEnd && o.end <= kMostEnd, "clipped relu: given an end of ", o.end, ", expected ", kLeastEnd,
        " to ", kMostEnd);
}

Var ClippedRelu::forward(const Var& x) { return clamp(x, 0, end_); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
