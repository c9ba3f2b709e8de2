#pragma once
// Methods of the field, each as the names of its parts. They are one algorithm: a float copy of each weight
// is kept; training computes with what a projection and a relaxation make of it; activations have a forward
// map and, apart from it, a derivative; gradients may be quantized on their way back; and a training may go
// through stages. What tells methods apart is one row of the table in method.cpp. A method of one's own is an
// expression:
//   const quant::Method mine{
//       .weights = {.projection = "twn", .options = {.bits = 2}, .relaxation = "relax"}};
//   const auto net = nn::make_network("resnet20", make_activation(mine.activations), rng);
//   const auto rule = make_rule(mine.weights, *net);
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/activations/activation_quantizer.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

struct WeightParts {
  std::string projection = "exact";         ///< a name of weight_projection()
  ProjectionOptions options = {.bits = 0};  ///< 0 bits: float weights
  std::string relaxation = "none";          ///< a name of relaxation()
  RelaxationOptions relaxation_options = {};
  WeightRuleOptions layers = {};
};
/// Null for float weights. Throws UsageError for a name or bits that there are not.
std::unique_ptr<WeightRule> make_rule(const WeightParts& parts, nn::Module& net);

struct ActivationParts {
  std::string map = "uniform";              ///< a name of activation_quantizer(), with its surrogate
  ActivationOptions options = {.bits = 0};  ///< 0 bits: float ReLU
  bool quantize_last = true;                ///< what the last layer reads (quant/activations/dorefa.h)
};
/// Throws as activation_quantizer().
nn::MakeActivation make_activation(const ActivationParts& parts);

struct GradientParts {
  std::string quantizer = "psq";  ///< a name of gradient_quantizer()
  int bits = 0;                   ///< 0: float gradients
};

/// Null for float gradients. dorefa_gradients() for "dorefa", bifurcated_gradients() for the others. Throws
/// UsageError as they do.
std::unique_ptr<GradientRule> make_gradient_rule(const GradientParts& parts, nn::Module& net, const Rng& rng);

/// How a training goes about it (quant/stages.h, quant/guidance.h).
struct TrainingParts {
  std::string update = "";            ///< rule that the weights demand: "bop"; empty: any
  bool two_stage = false;             ///< weights first, then activations
  std::vector<int> progressive = {};  ///< bits of earlier stages
  bool guided = false;                ///< by a float partner
  int epochs = 0;                     ///< that its schedules per epoch are made for; 0: they have none
};

struct Method {
  std::string name = "own";
  WeightParts weights = {};
  ActivationParts activations = {};
  GradientParts gradients = {};
  TrainingParts training = {};
  std::string paper = {};  ///< authors, title or short name, year, arXiv number
  /// Bits of weights and activations at which its paper reports it, besides those of the row; 0: float.
  std::vector<std::pair<int, int>> bits = {};
};

/// The row of that name. Throws UsageError, listing the known names, if there is none.
const Method& method(std::string_view name);
/// All rows, in their order, then those that were registered.
std::vector<std::string> method_names();
/// Makes a method known by its name. Throws UsageError if the name is empty or taken.
void register_method(Method method);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
