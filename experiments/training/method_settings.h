#pragma once
// The knobs of a method: its name, which sets all of its parts (quant/method.h), and each part by itself.
#include <memory>
#include <string>
#include <vector>

#include "experiments/support/args.h"
#include "experiments/training/settings.h"
#include "quant/guidance.h"
#include "quant/method.h"
#include "quant/stages.h"

namespace coarsegrad::experiments {

struct StageSettings {
  bool two_stage = false;
  std::vector<int> bits{0};  ///< of the stages before the last; {0}: none
};
/// Throws UsageError for bits that do not descend.
std::vector<TrainingStage> stages_of(const StageSettings& s, const TrainingStage& target);

struct GuideSettings {
  std::string guide = "none";
  std::vector<std::string> layers{"last"};  ///< {"last"}: the last two activations
  double weight = 1, partner_weight = 1, task_weight = 1, partner_task_weight = 1, temperature = 1;
  double partner_rate = 1;  ///< factor of the partner's learning rate
};
/// For a guide that is not "none".
quant::GuidanceOptions guidance_options(const GuideSettings& s);

struct MethodSettings {
  std::string method = "own";
  NetSettings net = {};
  RuleSettings rule = {};
  quant::GradientParts gradients = {};
  StageSettings stages = {};
  GuideSettings guide = {};
};
/// Declares the network's knobs, too, and --optimizer must be there already: some methods choose it.
void declare(Args& args, MethodSettings& s);
/// What a training by it trains, in one line for its user: "resnet20, weights 1 bit exact, last layer float,
/// relaxed by blend; activations 4 bits uniform; gradients float".
std::string description(const MethodSettings& s);
/// The values that a method gives to these knobs, as on the command line.
Preset preset_of(const std::string& method);
/// Throws UsageError for another update rule than the one that the method demands.
void expect_update_of(const MethodSettings& s, const OptimSettings& optim);
/// Sets the parts to those of a method, the network's other knobs as they are.
void choose(const std::string& method, MethodSettings& s, OptimSettings& optim);

}  // namespace coarsegrad::experiments
