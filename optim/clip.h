#pragma once
// Gradient clipping, between backward() and step(). Parameters without a gradient are passed over. Bitwise
// the same for any number of threads.
#include <vector>

#include "core/autograd.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// Euclidean norm of all gradients taken as one vector, summed in double.
double grad_norm(const std::vector<Parameter*>& parameters);

/// Multiplies all gradients by max_norm / (norm + 1e-6) where that is less than 1, as PyTorch's
/// clip_grad_norm_ does; returns the norm before. Throws Error, leaving the gradients alone, when the norm is
/// not finite, and unless max_norm > 0.
double clip_grad_norm(const std::vector<Parameter*>& parameters, double max_norm);

/// Clamps each element of each gradient to [-limit, limit]. Throws Error unless limit > 0; an infinite one is
/// allowed here and above, and changes nothing.
void clip_grad_value(const std::vector<Parameter*>& parameters, double limit);

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
