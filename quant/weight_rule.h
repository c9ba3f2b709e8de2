#pragma once
// Training with projected weights. The optimizer moves float copies and knows nothing of it; the network
// computes with their projections:
//   rule.project();                       // used = proj(value)
//   loss(net(batch)).backward();          // gradients at the projected weights
//   rule.before_step();                   // value = (1 - rho) value + rho used
//   optimizer.step();                     // value moves on from there, weight decay acts on it
// rho = 0 is BinaryConnect (Courbariaux, Bengio, David 2015), rho > 0 blended coarse gradient descent (Yin,
// Zhang, Lyu, Osher, Qi, Xin 2018, section 4; the authors take 1e-5), rho = 1 projected gradient descent.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "quant/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

struct WeightRuleOptions {
  double rho = 0;              ///< in [0, 1]
  bool quantize_first = true;  ///< the first convolution or dense layer of the network
  bool quantize_last = false;  ///< the last one
};

class WeightRule {
 public:
  /// Of the weights of every Conv2d and Linear in `net`, which must outlive the rule; "first" and "last" are
  /// meant in the order of named_modules(). Biases and normalisations stay float. Throws Error for a rho out
  /// of range.
  WeightRule(nn::Module& net, std::shared_ptr<const WeightProjection> projection,
             const WeightRuleOptions& options = {});

  /// used = proj(value): before each forward pass that follows a change of the values, in evaluation as well.
  void project();
  /// value = (1 - rho) value + rho used: right before the optimizer's step. Throws Error where nothing was
  /// projected.
  void before_step();
  /// The network computes with the float copies again.
  void release();

  double rho;  ///< may be changed between steps, as by growing_rho()

  const WeightProjection& projection() const { return *projection_; }
  /// By name, in order.
  const std::vector<std::pair<std::string, Parameter*>>& weights() const { return weights_; }

 private:
  std::shared_ptr<const WeightProjection> projection_;
  std::vector<std::pair<std::string, Parameter*>> weights_;
};

/// min(rho * growth^epoch, most): what the authors' released code does at the start of each epoch, with most
/// = 0.01. Throws Error unless 0 <= rho <= most <= 1, growth >= 1 and epoch >= 0.
double growing_rho(double rho, double growth, std::int64_t epoch, double most = 0.01);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
