#include "quant/activations/sign.h"

#include "quant/activations/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

void describe(OptionVisitor& v, SignActivationOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 1});
  option_text::describe_surrogate(v, o.surrogate);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
