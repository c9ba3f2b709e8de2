#pragma once
// Monte Carlo of the two-linear-layer model (quant/theory/two_layer.h): sample means of the loss, of its
// gradient in v and of coarse gradients, with what their standard errors need. Sums are exact to single
// precision inside a block of samples and run in double precision across blocks, in an order that does not
// depend on the number of threads; the three kernel tables give the same bits (surrogates that call the
// mathematics library: on the same machine).
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/compute/random.h"
#include "quant/math/surrogate.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::theory {

/// Sample moments of one random number.
struct Moments {
  /// Over the samples.
  double mean = 0, variance = 0;  ///< of one sample, not of the mean
};

/// Statistics of one coarse gradient g with n components.
struct GradientMoments {
  std::vector<Moments> component;  ///< n entries: g_j
  /// Moments of the two numbers g'd_1 and g'd_2, with d the directions asked for, and their covariance (of one
  /// sample).
  std::array<Moments, 2> along;
  double along_covariance = 0;
};

/// Moments of all that is sampled.
struct MonteCarlo {
  std::int64_t samples = 0;             ///< that were drawn
  Moments loss;                         ///< (y - y*)^2 / 2
  std::vector<Moments> grad_v;          ///< m entries
  std::vector<GradientMoments> coarse;  ///< one per surrogate, in the order given
};

/// Draws `samples` >= 1 matrices Z from the stream rng.split("Z") (rng's position plays no part: the same rng
/// gives the same Z for every v and w, sample s being lane s % 16 of kernel stream s / 16) and takes all
/// gradients on each. `directions` are two vectors of length n, for example w / |w| and the direction of
/// df/dw. A variance is NaN if there is only one sample. Runs on num_threads() threads. `poll` is called
/// on those threads now and then; what it throws ends the work. Throws Error if lengths do not fit.
MonteCarlo sample_coarse_gradients(const TwoLayer& model, const Point& point,
                                   std::span<const Surrogate* const> surrogates,
                                   const std::array<Vector, 2>& directions, std::int64_t samples, const Rng& rng,
                                   const std::function<void()>& poll = {});

}  // namespace coarsegrad::theory
