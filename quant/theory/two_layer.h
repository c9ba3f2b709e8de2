#pragma once
// The two-linear-layer network with a binary activation and Gaussian input, in closed form and double
// precision.
//   y(Z) = v' sigma(Z w),  Z an m x n matrix of independent N(0,1) entries,  sigma(x) = 1 for x > 0, else 0;
//   the teacher y*(Z) = v*' sigma(Z w*) has |w*| = 1;  population loss f(v, w) = E (y - y*)^2 / 2.
// A coarse gradient g = Z' (mu'(Zw) . v) (y - y*) puts the derivative mu' of a surrogate where sigma' = 0 would stand; an
// estimator (quant/theory/ste.h) is such a surrogate with what is expected of it.
// Source: Yin, Lyu, Zhang, Osher, Qi, Xin, "Understanding straight-through estimator in training activation quantized
// neural nets" (ICLR 2019), sections 2 and 3. Letters as there: S = 1'v*, theta the angle between w and w*,
// c(theta) = 1 - 2 theta / pi. Lengths are checked: v has m entries, w has n, anything else throws Error.
#include <optional>
#include <vector>

#include "quant/theory/ste.h"

namespace coarsegrad::theory {

/// A vector in double precision.
using Vector = std::vector<double>;

/// a'b. Throws Error unless the lengths agree.
double dot(const Vector& a, const Vector& b);
/// |a|, Euclidean.
double norm(const Vector& a);
/// Angle between two non-zero vectors, in [0, pi], accurate at both ends (atan2, not acos).
double angle(const Vector& a, const Vector& b);

/// The student's weights.
struct Point {
  /// The second layer, m entries.
  Vector v, w;  ///< the filter of the first layer, n entries
};

/// A point where the landscape is special; it does not depend on |w|.
struct Critical {
  Vector v;      ///< the second layer
  double theta;  ///< radians, between w and w*
  double loss;   ///< f
};

/// The population loss of a teacher with its gradients, expected coarse gradients and critical points.
class TwoLayer {
 public:
  /// w_star is scaled to length 1. Throws Error if a vector is empty or zero.
  TwoLayer(Vector v_star, Vector w_star);

  /// Rows of Z, the length of v.
  int m() const { return static_cast<int>(v_star_.size()); }
  /// Columns of Z, the length of w.
  int n() const { return static_cast<int>(w_star_.size()); }
  /// The teacher's second layer.
  const Vector& v_star() const { return v_star_; }
  /// The teacher's filter, of length 1.
  const Vector& w_star() const { return w_star_; }
  /// S = 1'v*.
  double sum() const { return sum_; }

  /// f(v, w); at w = 0 the student's output is 0.
  double loss(const Vector& v, const Vector& w) const;
  /// f as a function of the angle alone; affine in theta with slope v'v* / (2 pi).
  double loss_at(const Vector& v, double theta) const;
  /// df/dv, which is also the mean of the sample gradient. w must not be 0.
  Vector grad_v(const Vector& v, const Vector& w) const;
  /// The same as a function of the angle alone.
  Vector grad_v_at(const Vector& v, double theta) const;
  /// df/dw of length |v'v*| / (2 pi |w|) at every angle in (0, pi); NaN on the line of w*, where f has a kink.
  Vector grad_w(const Vector& v, const Vector& w) const;
  /// h(v, v*) = |v|^2 + (1'v)^2 - (1'v) S + v'v*.
  double h(const Vector& v) const;

  /// E g: the expected coarse gradient with respect to w, in the plane of w and w*. w must not be 0.
  Vector coarse_gradient(const Ste& ste, const Vector& v, const Vector& w) const;
  /// <E g, df/dw> = (v'v*)^2 t / (2 pi |w|) for theta in (0, pi): never negative where mu' is not. Its limit, 0, on the
  /// line of w*.
  double correlation(const Ste& ste, const Vector& v, const Vector& w) const;
  /// A constant A with |E g|^2 <= A (|df/dv|^2 + correlation); infinite where n is not 0, as for the identity: then
  /// there is none for all points, as E g does not vanish at the spurious minimum.
  double bound_constant(const Ste& ste, const Vector& v, const Vector& w) const;
  /// A step eta <= 1 for both layers that lowers f by at least eta/2 (|df/dv|^2 + correlation); 0 without a bound.
  double safe_step(const Ste& ste, const Vector& v, const Vector& w) const;

  /// v(c) = c v* + (1 - c) S / (m + 1) 1 at c = c(theta): the minimiser of f over v at this angle.
  Vector best_v(double theta) const;
  /// v = v*, theta = 0, loss 0.
  Critical global_minimum() const;
  /// (v_pi, theta = pi), where the gradient in v vanishes and E g is sqrt(2 pi) n kappa w/|w| with kappa of
  /// identity_drift(): 0 for ReLU and clipped ReLU.
  Critical spurious_minimum() const;
  /// Whether that is a local minimum and the saddle exists: S^2 < (m + 1)/2 |v*|^2.
  bool has_spurious_minimum() const;
  /// The saddle in (0, pi), if there is one.
  std::optional<Critical> saddle() const;

  /// kappa = |E g| of the identity at the spurious minimum, 2 (m-1) S^2 / (sqrt(2 pi) (m+1)^2). It points
  /// along w, so |w| shrinks by eta kappa per step and reaches 0 after |w| / (eta kappa) steps.
  double identity_drift() const;
  /// The rise of f when w then overshoots the origin and theta jumps from pi to 0: (|v*|^2 - 2 S^2 / (m+1)) / 2.
  double escape_jump() const;

 private:
  void check_sizes(const char* operation, const Vector& v, const Vector& w) const;

  Vector v_star_, w_star_;
  double sum_, square_;  // 1'v*, |v*|^2
};

/// norm_w (cos(theta) w* + sin(theta) w_perp): the filter at a given angle. w_perp: unit length, orthogonal to w*.
Vector filter_at(const Vector& w_star, const Vector& w_perp, double theta, double norm_w);

}  // namespace coarsegrad::theory
