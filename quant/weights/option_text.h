#pragma once
// Help texts of the options that several projections or relaxations share.
#include "core/base/options.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant::option_text {

// Functions, so that a part may be a constant of a program, made before main().

// Options of projections.
inline OptionText bits() { return {"bits", "bit", "bits of a quantized weight"}; }
inline OptionText sign_of_zero() { return {"sign-of-zero", "1", "code of a weight that is 0, with 1 bit"}; }
inline OptionText per_channel() {
  return {"per-channel", "", "a scale for each output channel instead of one for each layer"};
}

// Options of relaxations.
inline OptionText every() { return {"every", "epoch", "epochs between two growths of the strength"}; }
inline OptionText most() { return {"most", "1", "strength at which it stops growing"}; }
inline OptionText hard_from() {
  return {"hard-from", "1", "share of the training after which weights are the projected ones"};
}

}  // namespace quant::option_text
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
