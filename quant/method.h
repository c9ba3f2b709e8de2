#pragma once
// Methods of the field, each as its parts. They are one algorithm: a float copy of each weight is kept; training
// computes with what a projection and a relaxation make of it; activations have a forward map and, apart from it, a
// derivative; gradients may be quantized on their way back; and a training may go through stages. What tells methods
// apart is one row of the table in method.cpp. A method of one's own is an expression,
//   quant::Method mine{.weights = {"twn"}, .relaxation = {"relax", quant::BinaryRelaxOptions{.lambda = 2}}};
// and becomes a training by assemble() (quant/assembly.h).
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/part_registry.h"
#include "core/real.h"
#include "quant/guidance.h"
#include "quant/stages.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// A method as its parts with their options. Left as it is: float training.
struct Method {
  std::string name = "own";     ///< of its row, in flags, configurations and logs
  Part weights = {"none"};      ///< of weight_projections() (quant/weights/projection.h); none: float
  Part relaxation = {"none"};   ///< of relaxations() (quant/weights/relaxation.h)
  Part activations = {"relu"};  ///< of activations() (quant/activations/activation_quantizer.h); float without bits
  Part gradients = {"none"};    ///< of gradient_rules() (quant/gradients/gradient_rule.h); none: float
  Part update = {"same"};       ///< of weight_updates() (quant/weights/update.h)
  /// Exceptions (quant/layers.h). Where nothing is said, the last layer has float weights.
  std::vector<std::string> layers = {"last: weights=float"};

  bool two_stage = false;                        ///< weights first, then activations (quant/stages.h)
  std::vector<int> progressive = {};             ///< bits of earlier stages
  GuidanceOptions guidance = {.guide = "none"};  ///< by a float partner (quant/guidance.h); none: alone
  double partner_rate = 1;                       ///< factor of the partner's learning rate

  std::string optimizer = {};  ///< that it demands for what its update does not move: "adam"; empty: any
  int epochs = 0;              ///< that its schedules per epoch are made for; 0: it has none
  std::string paper = {};      ///< authors, title or short name, year, arXiv number
  /// Bits of weights and activations at which its paper reports it, besides those of the row; 0: float.
  std::vector<std::pair<int, int>> bits = {};
};

/// Bits of weights and activations at the end of the method's training; 0: float.
TrainingStage target(const Method& method);
/// The method with these bits, in one stage: 0 makes weights or activations float, by `none` and `relu`, but for a
/// part that has no bits, which stays. Throws UsageError for bits that its parts do not have.
Method with_bits(Method method, const TrainingStage& bits);
/// The stages of the method's training, of which target() is the last.
std::vector<TrainingStage> stages(const Method& method);
/// Throws UsageError, as assemble() would, for unknown parts and for options that they do not have.
void check_parts(const Method& method);

/// The method in one line for a user: "weights exact, 1 bit, relaxed by blend; activations trained, 4 bits; gradients
/// float; layers last: weights=float".
std::string words(const Method& method);
/// The exceptions of a method alone: "; layers last: weights=float", or "" where all is float anyway.
std::string layers_in_words(const Method& method);
/// One part, "twn, 2 bits", with those options that differ from their defaults; "float" for none and relu.
std::string words(const Part& part, const PartCatalogue& parts);

/// The method of that name. Throws UsageError, listing the known names, if there is none.
const Method& method(std::string_view name);
/// The names of the table in its order, then those that were registered.
std::vector<std::string> method_names();
/// Makes a method known by its name. Throws UsageError if the name is empty or taken, and as check_parts().
void register_method(Method method);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
