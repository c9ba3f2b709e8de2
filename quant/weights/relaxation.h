#pragma once
// Relaxations of quantized weights, and their registry.
#include <memory>
#include <string>

#include "quant/schedule.h"
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// How the float copy w of a weight and its projection live together in training: what the network computes with,
/// x = R(w), which gradient w gets from that at x, and what happens to w beside the optimizer's step:
///   x = effective(w);  g = gradient(w, dloss/dx);  before_step(x, w);  w <- optimizer(w, g);  after_step(w)
/// Its strength moves along a schedule (quant/schedule.h). One object serves all weights of a network and remembers
/// nothing about them.
class Relaxation {
 public:
  virtual ~Relaxation() = default;
  /// As registered.
  virtual std::string name() const = 0;
  /// x = R(w). By default the projection: the network is quantized from the first step on.
  virtual Tensor effective(WeightProjection& projection, const Tensor& w) { return projection.project(w); }
  /// The gradients with respect to w and to the projection's parameters from g, that with respect to effective(w). By
  /// default those of the projection.
  virtual ProjectionGradient gradient(WeightProjection& projection, const Tensor& w, const Tensor& g) {
    return projection.gradient(w, g);
  }
  /// Right before the optimizer's step: x = effective(w) may pull w.
  virtual void before_step(const Tensor& x, Tensor& w) { static_cast<void>(x), static_cast<void>(w); }
  /// Right after the optimizer's step, whose learning rate is `rate`: may pull w.
  virtual void after_step(WeightProjection& projection, double rate, Tensor& w) {
    static_cast<void>(projection), static_cast<void>(rate), static_cast<void>(w);
  }
  /// Called before each step. Depends on `at` alone, so that a training which was broken off needs no state.
  virtual void advance(const Progress& at) { static_cast<void>(at); }
  /// What advance() moves, in the paper's units, for logs; 0 for a relaxation that has no strength.
  virtual double strength() const { return 0; }
};

/// Clamps float weights to [-1, 1].
void clip_to_unit(Tensor& w);

/// Options of `blend`, blended coarse gradient descent (Yin, Zhang, Lyu, Osher, Qi, Xin 2018, section 4; the authors
/// take rho = 1e-5).
struct BlendOptions {
  double rho = 1e-5;  ///< 0 to 1: share of the projection in a step; 0: straight through, 1: projected gradient descent
  double growth = 1;  ///< >= 1: the factor of rho at each growth
  double every = 1;   ///< epochs between two growths, above 0
  double most = 1;    ///< 0 to 1: where rho stops growing
};
void describe(OptionVisitor& v, BlendOptions& o);

/// The relaxations by name; those shipped are
///   none   x = proj(w): BinaryConnect (Courbariaux, Bengio, David 2015) and whatever trains straight through
///   blend  x = proj(w), and w <- (1 - rho) w + rho x before the step
///   clip   x = proj(w), and w is clamped to [-1, 1] after the step: the float weights of BinaryConnect
///          (section 2.4) and of binarized neural networks (Courbariaux, Hubara et al. 2016, algorithm 1, number
///          unverified)
///   mix    x = a proj(w) + (1 - a) w with a that rises, clamped as by clip (quant/weights/mix.h)
///   relax  x between w and proj(w), ever nearer to it: BinaryRelax (quant/weights/binary_relax.h)
///   prox, prox_squared
///          x = w, and w is moved towards proj(w) after the step: ProxQuant (quant/weights/prox_quant.h)
/// A program adds its own.
PartRegistry<std::unique_ptr<Relaxation>>& relaxations();
/// A relaxation of relaxations(). Throws UsageError for an unknown name, listing the known ones, and Error for options
/// out of range.
std::unique_ptr<Relaxation> relaxation(const Part& part);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
