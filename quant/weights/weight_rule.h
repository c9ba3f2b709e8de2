#pragma once
// WeightRule. A training makes its weights step by step (quant/quantized_optimizer.h), an evaluation as they are
// deployed (quant/evaluation_scope.h): there is no other way to a forward pass, since a weight under a weight rule that
// nobody has made has no elements.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "quant/layers.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Makes the projection of the weights of one layer; null: they stay float.
using MakeWeightProjection = std::function<std::unique_ptr<WeightProjection>(const LayerPlace& layer)>;

/// Which weights of a network are quantized, and how. The optimizer moves float copies and knows nothing of it; the
/// network computes with what a projection and a relaxation make of them (quant/weights/projection.h,
/// quant/weights/relaxation.h).
class WeightRule {
 public:
  /// Takes the weight_parameter() of every module of `net` that has one, as Conv2d and Linear do; `first` and `last`
  /// are in the order of named_modules(). The network must outlive this object. Biases and normalisations stay float.
  /// Throws Error for a weight that is under another weight rule already. From here on a forward pass is refused with
  /// an Error until the weights are made.
  WeightRule(nn::Module& net, const MakeWeightProjection& make, std::unique_ptr<Relaxation> relaxation);
  /// One projection for all layers but the exceptions; throws as weight_projection() and relaxation(), too. Without a
  /// relaxation: BinaryConnect, straight through.
  WeightRule(nn::Module& net, const Part& projection, const Part& relaxation = {"none"},
             const LayerExceptions& exceptions = {});
  /// The network computes with the float copies again.
  ~WeightRule();
  /// Not copied: a weight is under one weight rule.
  WeightRule(const WeightRule&) = delete;
  WeightRule& operator=(const WeightRule&) = delete;

  /// effective = proj(value), whatever the relaxation: for a network that is not trained any more. Within a training
  /// EvaluationScope does it, and brings back what was there.
  void deploy();

  /// One for all weights.
  Relaxation& relaxation() { return *relaxation_; }

  /// A quantized weight.
  struct Entry {
    std::string name;                              ///< dotted, as in named_parameters()
    Parameter* weight;                             ///< of the network; `value` is the float copy, `effective` R(value)
    std::unique_ptr<WeightProjection> projection;  ///< its own
  };
  /// The quantized weights, in the order of named_modules().
  const std::vector<Entry>& weights() const { return weights_; }
  /// R(value) of each of weights(), as the relaxation stands. Nothing is made or remembered by this.
  std::vector<Tensor> relaxed();

  /// What the projections train; for the optimizer, beside the parameters of the network.
  std::vector<Parameter*> parameters();
  /// What the projections train, by "WEIGHT.NAME".
  std::vector<std::pair<std::string, Parameter*>> named_parameters();
  /// What the projections train and remember, by "WEIGHT.NAME".
  nn::StateDict state_dict();
  /// Throws Error, naming the entry, on a missing, unknown or misshapen one.
  void load_state_dict(const nn::StateDict& state);
  /// state_dict() with the random streams of the projections (nn::Module::state()).
  State state();
  /// Throws as load_state_dict().
  void load_state(const State& state);

 private:
  // A step of a training, in this order: weights are made, gradients at them become those of the float copies and of
  // what the projections train, float copies are pulled by the relaxation, the optimizer moves them, and after it
  // the relaxation once more.
  friend class QuantizedOptimizer;
  void project();
  void pull_gradients_back();
  void before_step();
  void after_step(double rate);

  // What an evaluation puts aside.
  friend class EvaluationScope;
  struct Made {
    std::vector<Tensor> effective = {};
    State projections = {};
    bool projected = false;
  };
  Made made();
  void bring_back(const Made& made);

  void make(const std::function<Tensor(const Entry& entry)>& maker);
  void forget();

  std::vector<Entry> weights_;
  bool projected_ = false;  // by project(), and not moved or deployed since
  std::unique_ptr<Relaxation> relaxation_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
