#pragma once
// The mix of a weight and its projection (quant/mix_schedule.h).
#include "quant/mix_schedule.h"
#include "quant/weights/relaxation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// "mix": x = a proj(w) + (1 - a) w, and the projection itself where a = 1. w gets the gradient that the projection
/// would have, times the factor where |w| <= 1 and 0 elsewhere; after each step it is clipped to [-1, 1]. strength() is
/// a. Throws Error for options out of range. Source: Chen et al. 2020 (arXiv 2003.04296), equation 18 and algorithm 1.
std::unique_ptr<Relaxation> mix_relaxation(const MixOptions& options);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
