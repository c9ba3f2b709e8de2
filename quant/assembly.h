#pragma once
// assemble(): a method and a network become a training, in one piece. Flags, files, comparisons and programs of one's
// own all come through here, so that they train the same.
//   quant::Assembly a = quant::assemble({.method = quant::method("dorefa"),
//                                        .network = [&](const nn::MakeActivation& activation) {
//                                          return nn::make_network("resnet20", activation, rng.split("net"));
//                                        },
//                                        .input = {32, 32, 3},
//                                        .optimizer = [](std::vector<Parameter*> all) {
//                                          return std::make_unique<optim::Sgd>(all, optim::SgdOptions{.lr = 0.1});
//                                        }});
//   quant::QuantizedOptimizer optimizer(*a.optimizer, *a.net, a.quantized(), {steps_per_epoch, epochs});
#include <functional>
#include <memory>
#include <optional>

#include "core/compute/random.h"
#include "nn/activation.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/method.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/update.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Makes a network with the activations that `activation` makes.
using MakeNetwork = std::function<std::unique_ptr<nn::Module>(const nn::MakeActivation& activation)>;

/// What assemble() makes a training from.
struct AssemblyPlan {
  Method method = {};                       ///< its parts; float training where it is left as it is
  std::optional<TrainingStage> stage = {};  ///< of a training in stages; none: the last one
  MakeNetwork network = {};                 ///< called a second time, with float activations, for a partner
  Shape input = {};                         ///< of one sample: (H, W, C)
  MakeOptimizer optimizer = {};             ///< of all parameters, or of those that the method's update leaves to it
  Rng rng = Rng(1);                         ///< of what quantizers of gradients draw
  /// Called with the network and its partner (null: none) before weights and gradients are quantized, to load what they
  /// start from.
  std::function<void(nn::Module& net, nn::Module* partner)> prepare = {};
};

/// All objects of a training. A member that refers to others stands behind them and is therefore destroyed first.
struct Assembly {
  std::unique_ptr<nn::Module> net;              ///< with the activations of the method
  std::unique_ptr<nn::Module> partner;          ///< null unless guided
  std::unique_ptr<WeightRule> weights;          ///< null: float weights
  std::unique_ptr<GradientRule> gradients;      ///< null: float gradients
  std::unique_ptr<optim::Optimizer> optimizer;  ///< over all parameters; inside of a QuantizedOptimizer
  std::unique_ptr<nn::Activation> guide_map;    ///< Q of the guidance
  std::unique_ptr<Guidance> guidance;           ///< null unless guided

  /// What a QuantizedOptimizer around `optimizer` is given.
  QuantizedParts quantized() const { return {weights.get(), gradients.get()}; }
};

/// The training that `plan` describes. Throws UsageError for unknown parts, parts that do not go together, options that
/// a part does not have, and an exception that no layer of the network fulfils.
Assembly assemble(const AssemblyPlan& plan);

/// The activations of a method: at every place its own, or what an exception puts there, those for `last` apart.
nn::MakeActivation make_activation(const Method& method);
/// A network with the activations of a method; the last one is float, or another one, where an exception says so, and
/// `network` is called twice for the latter. Throws as assemble().
std::unique_ptr<nn::Module> make_network(const Method& method, const MakeNetwork& network, const Shape& input);
/// The weight rule of a method over `net`; null: float weights.
std::unique_ptr<WeightRule> make_rule(const Method& method, nn::Module& net);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
