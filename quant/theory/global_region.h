#pragma once
// Theorem 2 of Yin, Lyu, Zhang, Osher, Qi, Xin, "Understanding straight-through estimator in training activation
// quantized neural nets" (ICLR 2019), appendix F: the region from which coarse gradient descent on the two-layer model
// reaches a global minimiser. A start in it, v'v* > 0, theta(w, w*) < pi/2, S 1'v <= S^2, stays in it while steps are
// small and |w| is bounded from below; the induction carries all three inequalities.
#include <functional>

#include "core/compute/random.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::theory {

/// The three quantities of Theorem 2 at one point.
struct GlobalRegion {
  double cross = 0;  ///< v'v*, above 0 in the region
  double theta = 0;  ///< radians, below pi/2
  double slack = 0;  ///< S^2 - S 1'v, 0 or more; it tends to 0

  /// v'v* > 0.
  bool cross_holds() const { return cross > 0; }
  /// theta < pi/2.
  bool theta_holds() const;
  /// Up to 1e-12, which is rounding.
  bool slack_holds() const { return slack >= -1e-12; }
  /// All three.
  bool holds() const { return cross_holds() && theta_holds() && slack_holds(); }
};

/// The quantities for a second layer v and an angle of the filter.
GlobalRegion region_at(const TwoLayer& model, const Vector& v, double theta);
/// Of each quantity the one that is nearer to leaving the region, or farther outside.
GlobalRegion worse(const GlobalRegion& a, const GlobalRegion& b);

/// A step eta with which descent from a point of the region stays in it: eta <= 4 / (m + 1) and eta R <= |w|, R the part
/// of E g along w. For every estimator whose derivative is never negative; the constants are ours. w must not be 0.
double region_step(const TwoLayer& model, const Ste& ste, const Point& point);

/// A random start and how many were drawn for it.
struct DrawnStart {
  Point point;  ///< the start
  int draws;    ///< 1 or more
};
/// The first of random_start(model, norm_w, rng.split(0)), random_start(model, norm_w, rng.split(1)), ... that `wanted`
/// takes. Throws Error where none of 100000 is.
DrawnStart start_where(const TwoLayer& model, double norm_w, const Rng& rng,
                       const std::function<bool(const GlobalRegion&)>& wanted);

}  // namespace coarsegrad::theory
