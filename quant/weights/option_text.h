#pragma once
// What is said of the options that several parts share.
#include "core/base/options.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant::option_text {

// Functions, so that a part may be a constant of a program, made before main().

// Of projections.
inline OptionText bits() { return {"bits", "bit", "bits of a quantized weight"}; }
inline OptionText sign_of_zero() { return {"sign-of-zero", "1", "code of a weight that is 0, with 1 bit"}; }
inline OptionText per_channel() {
  return {"per-channel", "", "a scale for each output channel instead of one for each layer"};
}

// Of relaxations.
inline OptionText every() { return {"every", "epoch", "epochs between two steps of its strength"}; }
inline OptionText most() { return {"most", "1", "where its strength stops growing"}; }
inline OptionText hard_from() {
  return {"hard-from", "1", "share of the training after which the projection takes its place"};
}

}  // namespace quant::option_text
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
