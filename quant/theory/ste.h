#pragma once
// Straight-through estimators of the two-layer model (quant/theory/two_layer.h): a surrogate with the Gaussian
// expectations that its expected coarse gradient is made of. With z ~ N(0, I), w_hat = w/|w|, |w*| = 1 and theta the
// angle between w and w*,
//   E[z mu'(z'w) 1{z'w < 0}]  = -n w_hat,
//   E[z mu'(z'w)]             = b w_hat,
//   E[z mu'(z'w) 1{z'w* > 0}] = along w_hat + towards w*,
// four numbers that depend on |w| and theta alone, n and b on |w|. They are linear in mu'. For identity, ReLU and
// clipped ReLU they are in Yin, Lyu, Zhang, Osher, Qi, Xin, "Understanding straight-through estimator in training
// activation quantized neural nets" (ICLR 2019), appendix; for the other surrogates they were derived for this project.
// The window of every surrogate is 1, the highest level of the model's activation.
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "quant/math/surrogate.h"

namespace coarsegrad::theory {

/// The four numbers at one |w| and theta, as numerators over a common denominator: those of identity and ReLU are
/// exact then.
struct Expectations {
  double n;         ///< of what passes where the activation is 0; 0: the estimator can stay at every minimum
  double b;         ///< 0 for an even derivative
  double along;     ///< the part along w_hat
  double towards;   ///< the part along w*
  double over = 1;  ///< denominator of all four

  /// Component of the third vector along w_hat, E[u mu'(|w| u) Phi(u cot theta)] with u ~ N(0, 1).
  double r(double theta) const;
  /// Its component orthogonal to w_hat, sin(theta) / sqrt(2 pi) E[mu'(|w| sin(theta) u)].
  double t(double theta) const;
};

/// What can be said of a surrogate without quadrature.
struct ClosedForm {
  /// The four numbers at |w| = norm_w > 0 and theta in [0, pi].
  std::function<Expectations(double norm_w, double theta)> at;
  /// With n = 0 and rho = b (1 - theta / pi) - r: an upper bound of (2 rho^2 + t^2) / t over all angles, where one is
  /// known that does not depend on |w|. Without it that quotient is taken at the angle at hand.
  std::optional<double> steepest = {};
};

/// The closed form of a registered surrogate of one's own, from now on. Throws UsageError if it has one already.
void declare_closed_form(const Surrogate& surrogate, ClosedForm form);

/// The four numbers of any surrogate by quadrature, to about 1e-14. A derivative that is not smooth may have kinks and
/// jumps anywhere, but nothing that is much narrower than 1. norm_w > 0, theta in [0, pi].
Expectations quadrature(const Surrogate& surrogate, double norm_w, double theta);

/// An estimator of the two-layer model: any surrogate, by its closed form where it has declared one, else by quadrature.
class Ste {
 public:
  /// Of a surrogate that outlives it.
  explicit Ste(const Surrogate& surrogate);
  explicit Ste(Surrogate&&) = delete;

  /// That of its surrogate.
  const std::string& name() const { return surrogate_->name(); }
  /// Whose derivative it passes back.
  const Surrogate& surrogate() const { return *surrogate_; }
  /// Null: quadrature.
  const ClosedForm* closed_form() const { return closed_form_; }
  /// The four numbers at |w| = norm_w > 0 and theta in [0, pi].
  Expectations expectations(double norm_w, double theta) const;

 private:
  const Surrogate* surrogate_;
  const ClosedForm* closed_form_;
};

/// The estimator of the registered surrogate of that name. Throws UsageError as surrogate() does.
Ste ste(std::string_view name);
/// The three that the paper treats: identity, ReLU, clipped ReLU.
const std::array<Ste, 3>& paper_stes();

}  // namespace coarsegrad::theory
