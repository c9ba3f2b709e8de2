#pragma once
// Guided training: a float partner of the same architecture learns beside a low-bit network, the student, and
// each is drawn towards what the other one computes. Each loss moves its own network alone; what comes from
// the other one is a constant in it. Source: Zhuang, Shen, Tan, Liu, Reid, "Towards effective low-bitwidth
// convolutional neural networks" (CVPR 2018, arXiv 1711.00205), section 3.3, for feature maps; the variants
// on logits are those of the code released with its journal version (arXiv 1908.04680).
#include <functional>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// R(mu, nu) = 1/2 mean (Q(mu) - nu)^2 over all elements, with Q(mu) given; equal shapes. The paper's norm
/// times 1 / (number of elements), so that its weight does not depend on the size of the maps.
Var guidance_loss(const Var& quantized_mu, const Var& nu);

/// T^2 KL(softmax(target / T) | softmax(logits / T)), mean over the batch; both (N, C), T > 0. No gradient
/// goes to `target`.
Var distillation_loss(const Var& logits, const Var& target, double temperature);

/// What is compared:
///   features    R of the outputs of `layers`, summed over them
///   logits_mse  mean squared difference of the logits
///   logits_kl   distillation_loss() of each from the other
std::vector<std::string> guide_names();

/// What guided training compares, and how much each term of a loss counts.
struct GuidanceOptions {
  std::string guide = "features";  ///< one of guide_names()
  /// Dotted names of the modules whose outputs are compared; where a module is called several times, the last
  /// call counts. Q(mu) is bounded, and the outputs should be, too: those of activations, or of blocks that end
  /// in one, not sums. Empty: last_activations(student, 2).
  std::vector<std::string> layers = {};
  /// lambda, the factor of the difference in the student's loss, >= 0.
  double weight = 1, partner_weight = 1;  ///< lambda in the partner's loss, >= 0
  /// The factor of the student's own loss, >= 0.
  double task_weight = 1, partner_task_weight = 1;  ///< the factor of the partner's own loss, >= 0
  double temperature = 1;                           ///< T of logits_kl, above 0
};

/// Names of the last `count` activations of a network, in the order of named_modules(); fewer where there are
/// fewer. What the activation of a ResNet block puts out last is the output of the block, or, in a
/// pre-activation one, what its second convolution reads.
std::vector<std::string> last_activations(nn::Module& net, std::size_t count);

/// What a network has put out for one batch.
struct Outcome {
  /// (N, C); they may be undefined where feature maps are compared.
  Var logits, task;  ///< the network's own loss
};

/// What each network descends on: its own loss and the difference, weighted.
struct GuidedLosses {
  /// Its gradient reaches the student alone.
  Var student, partner;  ///< its gradient reaches the partner alone
};

/// The losses of two networks that guide each other. Looks at both through forward hooks, from its construction to its
/// end.
class Guidance {
 public:
  /// Q: quantizes a feature map of the partner as the student's activations are quantized.
  using Quantize = std::function<Var(const Var& map)>;

  /// `quantize` is Q, the student's activation quantizer, with its straight-through gradient. The networks
  /// must outlive this object. Throws UsageError for a layer that one of them does not have, Error for a
  /// negative weight and a temperature that is not positive.
  Guidance(nn::Module& student, nn::Module& partner, const GuidanceOptions& options, Quantize quantize);
  /// Takes the hooks off.
  ~Guidance();
  /// Not copied: the hooks point to this object.
  Guidance(const Guidance&) = delete;
  Guidance& operator=(const Guidance&) = delete;

  /// The losses of the batch that both networks have seen last, with gradients recorded: for each network
  ///   task_weight task + weight difference, with its own two weights.
  /// Throws Error where a layer was not called since the last time, or where logits that are compared are
  /// undefined.
  GuidedLosses losses(const Outcome& student, const Outcome& partner);

  /// The float network.
  nn::Module& partner() { return partner_net_; }

 private:
  struct Tap {
    nn::Module* module;
    int hook;
    Var seen;
  };
  void tap(nn::Module& net, const char* which, std::vector<Tap>& taps);
  GuidedLosses differences(const Outcome& student, const Outcome& partner);

  nn::Module& partner_net_;
  GuidanceOptions options_;
  Quantize quantize_;
  std::vector<Tap> student_, partner_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
