#pragma once
// Training with quantized weights. The optimizer moves float copies and knows nothing of it; the network
// computes with what the projection and the relaxation make of them:
//   rule.advance({epoch, epochs});        // the relaxation's schedule
//   rule.project();                       // used = R(value)
//   loss(net(batch)).backward();          // gradients at the used weights
//   rule.before_step();                   // ... become those of the float copies, and the relaxation may
//   pull optimizer.step();                     // value moves on from there, weight decay acts on it
//   rule.after_step(optimizer.lr);
// and deploy() before each evaluation, so that what is judged is what is deployed. Methods differ in the
// parts alone: quant/weights/projection.h, quant/weights/relaxation.h.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

struct WeightRuleOptions {
  bool quantize_first = true;  ///< the first convolution or dense layer of the network
  bool quantize_last = false;  ///< the last one
};

class WeightRule {
 public:
  /// Of the weights of every Conv2d and Linear in `net`, which must outlive the rule; "first" and "last" are
  /// meant in the order of named_modules(). Biases and normalisations stay float.
  WeightRule(nn::Module& net, const MakeWeightProjection& make, std::unique_ptr<Relaxation> relaxation,
             const WeightRuleOptions& options = {});
  /// Without a relaxation: BinaryConnect, straight through.
  WeightRule(nn::Module& net, const MakeWeightProjection& make, const WeightRuleOptions& options = {});

  void advance(const Progress& at) { relaxation_->advance(at); }
  /// used = R(value): before each forward pass of the training that follows a change of the values.
  void project();
  /// used = proj(value), whatever the relaxation.
  void deploy();
  /// Between the backward pass and the optimizer's step. Throws Error unless there was a project() since the
  /// step before, without which the network computed with weights that are one step old or not quantized, and
  /// where a parameter of the rule still has the gradient of the step before, since the optimizer that clears
  /// gradients lacks it.
  void before_step();
  /// Right after the optimizer's step, which had the learning rate `rate`.
  void after_step(double rate);
  /// The network computes with the float copies again.
  void release();

  Relaxation& relaxation() { return *relaxation_; }

  struct Entry {
    std::string name;  ///< dotted, as in named_parameters()
    Parameter* weight;
    std::unique_ptr<WeightProjection> projection;
  };
  /// In order.
  const std::vector<Entry>& weights() const { return weights_; }

  /// What the projections train; for the optimizer, beside the parameters of the network.
  std::vector<Parameter*> parameters();
  /// What the projections train and remember, by "WEIGHT.NAME".
  nn::StateDict state_dict();
  /// Throws Error, naming the entry, on a missing, unknown or misshapen one.
  void load_state_dict(const nn::StateDict& state);

 private:
  std::vector<Entry> weights_;
  bool projected_ = false;  // since the last step, and not deployed
  std::unique_ptr<Relaxation> relaxation_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
