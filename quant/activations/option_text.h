#pragma once
// What is said of the options that several activations share.
#include <string>

#include "core/base/options.h"
#include "core/real.h"
#include "quant/math/surrogate.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant::option_text {

// Functions, so that a part may be a constant of a program, made before main().
inline OptionText activation_bits() { return {"bits", "bit", "bits of a quantized activation"}; }
inline OptionText rate_factor() { return {"rate-factor", "1", "factor of the learning rate of what it trains"}; }

/// Any surrogate that is known by then.
inline void describe_surrogate(OptionVisitor& v, std::string& name) {
  v.choice({"surrogate", "", "whose derivative stands for its own in the backward pass"}, name, surrogate_names());
}

}  // namespace quant::option_text
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
