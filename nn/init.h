#pragma once
// Initial values of weights.
#include <cstdint>

#include "core/compute/random.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// Inputs per output of a weight: all extents but the first multiplied, (O, kh, kw, I) -> kh kw I.
std::int64_t fan_in(const Shape& weight);
/// Outputs per input of a weight: fan_in() with the first extent in place of the last one, (O, kh, kw, I) -> kh kw O.
std::int64_t fan_out(const Shape& weight);
/// Uniform on [-bound, bound).
Tensor uniform(const Shape& shape, double bound, Rng rng);
/// Normal with mean 0.
Tensor normal(const Shape& shape, double standard_deviation, Rng rng);
/// N(0, 2 / fan_in): keeps the variance through layers of ReLUs (He, Zhang, Ren, Sun, arXiv 1502.01852, equation 10,
/// number unverified).
Tensor kaiming_normal(const Shape& weight, Rng rng);
/// N(0, 2 / fan_out): keeps the variance of the gradients on their way back (arXiv 1502.01852,
/// equation 14, number unverified).
Tensor kaiming_normal_fan_out(const Shape& weight, Rng rng);
/// Uniform on +-sqrt(6 / (fan_in + fan_out)): a compromise between both directions (Glorot, Bengio, AISTATS 2010,
/// equation 16, number unverified).
Tensor xavier_uniform(const Shape& weight, Rng rng);

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
