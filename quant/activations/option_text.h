#pragma once
// Help texts of the options that several activations share.
#include <string>

#include "core/base/options.h"
#include "core/real.h"
#include "quant/math/surrogate.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant::option_text {

// Functions, so that a part may be a constant of a program, made before main().
inline OptionText activation_bits() { return {"bits", "bit", "bits of a quantized activation"}; }
inline OptionText rate_factor() { return {"rate-factor", "1", "factor of the learning rate of the grid's parameter"}; }

/// A choice among the surrogates that are known at the time of the call.
inline void describe_surrogate(OptionVisitor& v, std::string& name) {
  v.choice({"surrogate", "", "function whose derivative stands for the quantizer's in the backward pass"}, name,
           surrogate_names());
}

}  // namespace quant::option_text
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
