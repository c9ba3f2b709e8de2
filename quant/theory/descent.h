#pragma once
// Coarse gradient descent on the two-layer model, both layers at once with one step size:
//   v <- v - eta df/dv,  w <- w - eta g,  g the expected (population) or the averaged (empirical) coarse
//   gradient.
// Source: Yin et al. (ICLR 2019), Algorithm 1 (number unverified). w is not normalised there, and the instability of
// the identity is lost when it is.
#include <cstdint>
#include <functional>
#include <limits>
#include <string_view>

#include "quant/theory/empirical.h"
#include "quant/theory/global_region.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::theory {

/// Where a run is before update number `step`.
struct State {
  std::int64_t step;  ///< 0 at the start
  double loss;        ///< the one that is descended on
  double theta;       ///< radians
  double norm_w;      ///< |w|
  double distance_v;  ///< |v - v*|
  double cross;       ///< v'v*
  double slack;       ///< S^2 - S 1'v

  /// The quantities of Theorem 2.
  GlobalRegion region() const { return {cross, theta, slack}; }
};

/// How to descend.
struct DescentOptions {
  double eta = 0.05;          ///< step size of both layers
  std::int64_t steps = 1000;  ///< >= 0
  bool rescale = false;       ///< scale w to length 1 after each step
  double tolerance = 1e-3;    ///< on the population loss, when the end is classified
  /// Called with each state, first and last included. What it throws ends the run.
  std::function<void(const State&)> observe{};
};

/// Where a run ended: at one of the model's critical points, or, unsettled, at none of them.
enum class End { global_minimum, spurious_minimum, saddle, unsettled };
/// "global_minimum", "spurious_minimum", "saddle" or "unsettled".
std::string_view end_name(End end);

/// Increases of the loss up to this size are rounding.
inline constexpr double kMonotoneSlack = 1e-12;
/// A run stops where |w| falls below this: the coarse gradient is undefined at w = 0.
inline constexpr double kVanishedNorm = 1e-12;

/// What came of a run.
struct Descent {
  Point point;            ///< where it ended
  State last;             ///< before the end; what DescentOptions::observe saw last
  End end;                ///< unsettled unless the loss came to rest
  bool vanished = false;  ///< stopped early, because w vanished
  double min_norm_w = std::numeric_limits<double>::infinity();     ///< the least |w| on the way
  double min_theta = std::numeric_limits<double>::infinity();      ///< the least angle on the way, radians
  double max_increase = -std::numeric_limits<double>::infinity();  ///< of the loss in one step
  /// Of each quantity of Theorem 2 the worst on the way.
  GlobalRegion worst = {std::numeric_limits<double>::infinity(), 0, std::numeric_limits<double>::infinity()};

  /// Whether the loss never rose by more than rounding.
  bool monotone() const { return max_increase <= kMonotoneSlack; }
};

/// Descent on the population loss with the expected coarse gradient.
Descent population_descent(const TwoLayer& model, const Ste& ste, Point start, const DescentOptions& options);

/// Descent on the empirical loss with the averaged coarse gradient.
Descent empirical_descent(const TwoLayer& model, const EmpiricalLoss& empirical, const Surrogate& surrogate,
                          Point start, const DescentOptions& options);

/// Which of the model's critical points `point` is: by its population loss, up to `tolerance`, and its angle.
End classify(const TwoLayer& model, const Point& point, double tolerance);

}  // namespace coarsegrad::theory
