#pragma once
// Estimates with standard errors of what quant/theory/two_layer.h states in closed form, from the moments
// that Monte Carlo gathers (quant/theory/monte_carlo.h), for any surrogate.
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "quant/theory/monte_carlo.h"

namespace coarsegrad::theory {

/// A number that was measured.
struct Measured {
  /// The estimate.
  double value, se;  ///< its standard error
};

/// The mean of N samples: its error is the sample standard deviation over sqrt(N).
Measured mean_of(const Moments& moments, std::int64_t samples);

/// Estimates of one surrogate's coarse gradient.
struct CoarseEstimate {
  Vector mean;           ///< E g
  Measured correlation;  ///< <E g, df/dw>, with df/dw in closed form
  /// |E g| = sqrt(max(0, |mean|^2 - trace C)), C the covariance of the mean, so that noise does not count as
  /// length. Its error is that of the square, s^2 = 4 mean'C mean + 2 trace C^2, carried over as
  /// sqrt(value^2 + s) - value: the delta method wherever the length stands out of the noise, and finite at 0.
  Measured norm;
};

/// Estimates at one point.
struct Estimates {
  std::int64_t samples;                ///< that they are made from
  Measured loss;                       ///< f
  std::vector<CoarseEstimate> coarse;  ///< one per surrogate, in the order given
};

/// Draws `samples` >= 2 inputs and estimates everything at once. w must not lie on the line of w*; n >= 2.
/// The error of `norm` takes C to be isotropic outside the plane of w and w*, which it is by symmetry. `poll`
/// is called now and then on the working threads; what it throws ends the work.
Estimates estimate(const TwoLayer& model, const Point& point, std::span<const Surrogate* const> surrogates,
                   std::int64_t samples, const Rng& rng, const std::function<void()>& poll = {});

}  // namespace coarsegrad::theory
