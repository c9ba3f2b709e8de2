#pragma once
// Relaxations: how the float copy w of a weight and its projection live together in training. A relaxation
// says what the network computes with, x = R(w), which gradient w gets from that at x, and what happens to w
// beside the optimizer's step:
//   x = used(w);  g = gradient(w, dloss/dx);  before_step(x, w);  w <- optimizer(w, g);  after_step(w)
// Its strength moves along a schedule (quant/schedule.h). One object serves all weights of a network and
// remembers nothing about them.
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quant/schedule.h"
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

class Relaxation {
 public:
  virtual ~Relaxation() = default;
  virtual std::string name() const = 0;
  /// x = R(w). By default the projection: the network is quantized from the first step on.
  virtual Tensor used(WeightProjection& projection, const Tensor& w) { return projection.project(w); }
  /// The gradients with respect to w and to the projection's parameters from that with respect to used(w). By
  /// default what the projection makes of it.
  virtual ProjectionGradient gradient(WeightProjection& projection, const Tensor& w, const Tensor& g) {
    return projection.gradient(w, g);
  }
  /// Right before the optimizer's step: x = used(w) may pull w.
  virtual void before_step(const Tensor& x, Tensor& w) { static_cast<void>(x), static_cast<void>(w); }
  /// Right after it; `rate` is the learning rate of the step.
  virtual void after_step(WeightProjection& projection, double rate, Tensor& w) {
    static_cast<void>(projection), static_cast<void>(rate), static_cast<void>(w);
  }
  /// Called before each step. Depends on `at` alone, so that a training which was broken off needs no state.
  virtual void advance(const Progress& at) { static_cast<void>(at); }
  /// What advance() moves, in the paper's units, for logs; 0 for a relaxation that has no strength.
  virtual double strength() const { return 0; }
};

/// Each relaxation says what its strength and growth are.
struct RelaxationOptions {
  double strength = 0;   ///< at the start
  double growth = 1;     ///< what the schedule multiplies it by
  double every = 1;      ///< epochs between two growths
  double most = 1e300;   ///< where it stops growing
  double hard_from = 1;  ///< share of the training, 0 to 1, after which used() is the projection alone
};

/// By name; those shipped are
///   none   x = proj(w): BinaryConnect (Courbariaux, Bengio, David 2015) and whatever trains straight through
///   blend  x = proj(w), and w <- (1 - rho) w + rho x before the step: blended coarse gradient descent (Yin,
///          Zhang, Lyu, Osher, Qi, Xin 2018, section 4; the authors take rho = 1e-5). strength is rho, growth
///          a factor after each `every` epochs, rho = 1 is projected gradient descent
///   clip   x = proj(w), and w is clamped to [-1, 1] after the step: the float weights of BinaryConnect
///          (section 2.4) and of binarized neural networks (Courbariaux, Hubara et al. 2016, algorithm 1)
///   relax  x between w and proj(w), ever nearer to it: BinaryRelax (quant/weights/binary_relax.h)
///   prox, prox_squared
///          x = w, and w is moved towards proj(w) after the step: ProxQuant (quant/weights/prox_quant.h)
/// Throws UsageError for an unknown name, listing the known ones, and Error for options out of range.
std::unique_ptr<Relaxation> relaxation(std::string_view name, const RelaxationOptions& options = {});

using MakeRelaxation = std::function<std::unique_ptr<Relaxation>(const RelaxationOptions& options)>;
/// Makes a relaxation known by name. Throws UsageError if the name is empty or taken.
void register_relaxation(std::string name, MakeRelaxation make);
/// Those shipped, then those registered, in that order.
std::vector<std::string> relaxation_names();

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
