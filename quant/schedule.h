#pragma once
// What moves along a training apart from the learning rate: the strength of a relaxation
// (quant/weights/relaxation.h), modules of a network (nn::Module::advance).
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Where a training stands: epochs behind it, of how many.
using nn::Progress;

/// Calls advance() of every module of `net`.
void advance(nn::Module& net, const Progress& at);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
