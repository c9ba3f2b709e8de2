#pragma once
// The variance that stochastic rounding adds to an N x D matrix of gradients, exactly: an entry q bins above
// the first point of its grid is rounded up with probability p = q - floor(q), which gives it a variance of
// p (1 - p) step^2 <= step^2 / 4. Source: Chen et al., NeurIPS 2020 (arXiv 2010.14298), section 3.
#include <cstdint>
#include <span>
#include <vector>

#include "core/compute/stochastic.h"

namespace coarsegrad {

/// What stands for p (1 - p).
enum class RoundingNoise {
  exact,    ///< p (1 - p) itself
  largest,  ///< 1/4: the bound D / 4 |S^-1|_F^2
};

/// The variance of each entry when each row is rounded onto a grid over its own interval (round_rows).
std::vector<double> rounding_variance(std::int64_t rows, std::int64_t cols, std::span<const double> x, RowRange kind,
                                      int bins, RoundingNoise noise = RoundingNoise::exact);
/// The variance of each entry under the block Householder quantizer (quant/math/block_householder.h), which needs three
/// rows or more, finite and not all constant.
std::vector<double> householder_variance(std::int64_t rows, std::int64_t cols, std::span<const double> x, int bins,
                                         RoundingNoise noise = RoundingNoise::exact);

}  // namespace coarsegrad
