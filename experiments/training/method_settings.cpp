#include "experiments/training/method_settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "experiments/training/network_file.h"

namespace coarsegrad::experiments {
namespace {

void declare(Args& args, quant::GradientParts& s) {
  args.add("gradient-bits", s.bits, "bits of the gradients on their way back through layers; 0: float",
           {0, 8});
  args.add("gradients", s.quantizer, "their quantizer", quant::gradient_quantizer_names());
  args.add_need({"gradients"}, "gradient-bits", "without --gradient-bits", [&s] { return s.bits > 0; });
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
  args.add_need({"guide-layers", "guide-weight", "guide-partner-weight", "guide-task", "guide-partner-task",
                 "guide-partner-rate"},
                "guide", "without --guide", [&s] { return s.guide != "none"; });
  args.add_need({"guide-layers"}, "guide", "without --guide features",
                [&s] { return s.guide == "features"; });
  args.add_need({"guide-temperature"}, "guide", "without --guide logits_kl",
                [&s] { return s.guide == "logits_kl"; });
}

// What a method consists of.
void declare_parts(Args& args, MethodSettings& s) {
  declare_activation(args, s.net);
  declare(args, s.rule);
  declare(args, s.gradients);
  declare(args, s.stages);
  declare(args, s.guide);
  args.add_need({"two-stage"}, "activation-bits", "without --weight-bits and --activation-bits", [&s] {
    return !s.stages.two_stage || (s.rule.weight_bits > 0 && s.net.activation_bits > 0);
  });
  args.add_need({"stage-bits"}, "weight-bits", "without --weight-bits or --activation-bits", [&s] {
    return s.stages.bits == std::vector<int>{0} || s.rule.weight_bits > 0 || s.net.activation_bits > 0;
  });
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
  const bool none = std::ranges::count(s.bits, 0) > 0;
  check_usage(!none || s.bits.size() == 1, "--stage-bits: given 0 beside other bits, expected either");
  return stages(target, none ? std::vector<int>{} : s.bits, s.two_stage);
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

void expect_update_of(const MethodSettings& s, const OptimSettings& optim) {
  if (s.method == "own") return;
  const std::string& wanted = quant::method(s.method).training.update;
  check_usage(wanted.empty() || optim.optimizer == wanted, "--optimizer: given ", optim.optimizer,
              " with the method ", s.method, ", expected ", wanted);
}

void choose(const std::string& name, MethodSettings& s, OptimSettings& optim) {
  const quant::Method& m = quant::method(name);
  s.method = name;
  s.net.activation = m.activations.map;
  s.net.activation_bits = m.activations.options.bits;
  s.net.ste = m.activations.options.surrogate.empty() ? "own" : m.activations.options.surrogate;
  s.net.quantize_last_activation = m.activations.quantize_last;
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

std::string description(const MethodSettings& s) {
  std::string text = cat(s.net.net, ", ", description(s.rule));
  if (s.rule.weight_bits > 0)
    text += s.rule.relaxation == "none" ? ", straight through" : cat(", relaxed by ", s.rule.relaxation);
  text += cat("; ", description(s.net));
  text += s.gradients.bits > 0 ? cat("; gradients ", s.gradients.bits, " bits ", s.gradients.quantizer)
                               : "; gradients float";
  const auto all = stages_of(s.stages, {s.rule.weight_bits, s.net.activation_bits});
  for (std::size_t i = 0; all.size() > 1 && i < all.size(); ++i)
    text += cat(i == 0 ? "; in stages of " : ", ", all[i].weight_bits, "/", all[i].activation_bits);
  if (all.size() > 1) text += " bits of weights/activations, 0: float";
  return s.guide.guide == "none" ? text : cat(text, "; beside a float partner by ", s.guide.guide);
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
