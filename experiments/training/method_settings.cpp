#include "experiments/training/method_settings.h"

#include <nlohmann/json.hpp>

#include "core/base/check.h"

namespace coarsegrad::experiments {
namespace {

void declare(Args& args, quant::GradientParts& s) {
  args.add("gradient-bits", s.bits, "bits of the gradients on their way back through layers; 0: float",
           {0, 8});
  args.add("gradients", s.quantizer, "their quantizer", quant::gradient_quantizer_names());
}

void declare(Args& args, StageSettings& s) {
  args.add("two-stage", s.two_stage, "weights are quantized first, then activations, too, each in a stage");
  args.add("stage-bits", s.bits,
           "bits of stages before the one asked for, each of all epochs; 32: float, 0: none", {0, 32});
}

void declare(Args& args, GuideSettings& s) {
  Choices guides = quant::guide_names();
  guides.insert(guides.begin(), "none");
  args.add("guide", s.guide, "a float partner learns beside the network and draws it nearer, by these",
           guides);
  args.add("guide-layers", s.layers, "layers whose outputs are the features; last: the last two activations");
  args.add("guide-weight", s.weight, "lambda, of the difference in the network's loss", {0, 1e6});
  args.add("guide-partner-weight", s.partner_weight, "the same in the partner's loss", {0, 1e6});
  args.add("guide-task", s.task_weight, "of the network's own loss", {0, 1e6});
  args.add("guide-partner-task", s.partner_task_weight, "of the partner's own loss", {0, 1e6});
  args.add("guide-temperature", s.temperature, "of logits_kl", {0.001, 1000});
  args.add("guide-partner-rate", s.partner_rate, "factor of the partner's learning rate", {0, 1000});
}

// What a method consists of.
void declare_parts(Args& args, MethodSettings& s) {
  declare_activation(args, s.net);
  declare(args, s.rule);
  declare(args, s.gradients);
  declare(args, s.stages);
  declare(args, s.guide);
}

std::string as_flag(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string list;
  for (const auto& entry : value) list += cat(list.empty() ? "" : ",", as_flag(entry));
  return list;
}

}  // namespace

std::vector<TrainingStage> stages_of(const StageSettings& s, const TrainingStage& target) {
  return stages(target, s.bits == std::vector<int>{0} ? std::vector<int>{} : s.bits, s.two_stage);
}

quant::GuidanceOptions guidance_options(const GuideSettings& s) {
  return {.guide = quant::guide(s.guide),
          .layers = s.layers == std::vector<std::string>{"last"} ? std::vector<std::string>{} : s.layers,
          .weight = s.weight,
          .partner_weight = s.partner_weight,
          .task_weight = s.task_weight,
          .partner_task_weight = s.partner_task_weight,
          .temperature = s.temperature};
}

void choose(const std::string& name, MethodSettings& s, OptimSettings& optim) {
  const quant::Method& m = quant::method(name);
  s.method = name;
  s.net.activation = m.activations.map;
  s.net.activation_bits = m.activations.options.bits;
  s.net.ste = m.activations.options.surrogate.empty() ? "own" : m.activations.options.surrogate;
  s.net.quantize_last_activation = m.activations.quantize_last;
  if (m.activations.options.sharpness != 0) s.net.sharpness = m.activations.options.sharpness;
  s.rule.projection = m.weights.projection;
  s.rule.weight_bits = m.weights.options.bits;
  s.rule.per_channel = m.weights.options.per_channel;
  s.rule.quantize_first = m.weights.layers.quantize_first;
  s.rule.quantize_last = m.weights.layers.quantize_last;
  s.rule.relaxation = m.weights.relaxation;
  const quant::RelaxationOptions& r = m.weights.relaxation_options;
  if (m.weights.relaxation == "blend") {
    s.rule.rho = r.strength;
    s.rule.rho_growth = r.growth;
  } else if (m.weights.relaxation == "asymptotic") {
    s.rule.sharpness = r.strength * r.growth;
    s.rule.hard_from = r.hard_from;
  } else {
    s.rule.strength = r.strength;
    s.rule.growth = r.growth;
    s.rule.every = r.every;
    s.rule.hard_from = r.hard_from;
  }
  s.gradients = m.gradients;
  s.stages.two_stage = m.training.two_stage;
  s.stages.bits = m.training.progressive.empty() ? std::vector<int>{0} : m.training.progressive;
  s.guide.guide = m.training.guided ? "features" : "none";
  if (!m.training.update.empty()) optim.optimizer = m.training.update;
}

Preset preset_of(const std::string& method) {
  MethodSettings s;
  OptimSettings optim;
  const std::string any = optim.optimizer;
  choose(method, s, optim);
  Args parts("method", "the knobs of its parts");
  const auto standard = nlohmann::json::parse(parts.config());
  declare_parts(parts, s);
  Preset preset{method, {}};
  const auto all = nlohmann::json::parse(parts.config());
  for (const auto& [key, value] : all.items())
    if (!standard.contains(key)) preset.values.emplace_back(key, as_flag(value));
  if (optim.optimizer != any) preset.values.emplace_back("optimizer", optim.optimizer);
  return preset;
}

void declare(Args& args, MethodSettings& s) {
  declare_float(args, s.net);
  declare_parts(args, s);
  std::vector<Preset> presets;
  for (const std::string& name : quant::method_names()) presets.push_back(preset_of(name));
  args.add_presets("method", s.method, "all parts by the name of a method; own: each by itself",
                   std::move(presets));
}

}  // namespace coarsegrad::experiments
