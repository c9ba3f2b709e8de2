#pragma once
// What is said of the options that several parts share.
#include "core/base/options.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant::option_text {

// Of projections.
inline const OptionText kBits{"bits", "bit", "bits of a quantized weight"},
    kSignOfZero{"sign-of-zero", "1", "code of a weight that is 0, with 1 bit"},
    kPerChannel{"per-channel", "", "a scale for each output channel instead of one for each layer"};

// Of relaxations.
inline const OptionText kEvery{"every", "epoch", "epochs between two steps of its strength"},
    kMost{"most", "1", "where its strength stops growing"},
    kHardFrom{"hard-from", "1", "share of the training after which the projection takes its place"};

}  // namespace quant::option_text
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
