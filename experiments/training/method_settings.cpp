#include "experiments/training/method_settings.h"

#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/method.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"
#include "quant/weights/update.h"

namespace coarsegrad::experiments {
namespace {

bool quantizes_weights(const quant::Method& m) { return m.weights.name != "none"; }
bool quantizes_activations(const quant::Method& m) { return target(m).activation_bits > 0; }

void declare_stages(Args& args, quant::Method& m) {
  args.add("two-stage", m.two_stage,
           "train in two stages: weights quantized in the first one, activations, too, in the second");
  args.add("stage-bits", m.progressive,
           "bit widths of earlier stages, each of --epochs epochs; 32: float; empty: no such stages", {1, 32});
  args.add_need({"two-stage"}, "activations", "without --weights and --activations",
                [&m] { return !m.two_stage || (quantizes_weights(m) && quantizes_activations(m)); });
  args.add_need({"stage-bits"}, "weights", "without --weights or --activations",
                [&m] { return m.progressive.empty() || quantizes_weights(m) || quantizes_activations(m); });
}

void declare_guide(Args& args, quant::Method& m) {
  quant::GuidanceOptions& g = m.guidance;
  Choices guides = quant::guide_names();
  guides.insert(guides.begin(), "none");
  args.add("guide", g.guide, "what is compared with a float partner that learns beside the network; none: no partner",
           guides);
  args.add("guide-layers", g.layers, "layers whose outputs --guide features compares; empty: the last two activations");
  args.add("guide-weight", g.weight, "lambda: factor of the difference from the partner in the network's loss",
           {0, 1e6});
  args.add("guide-partner-weight", g.partner_weight, "factor of the difference from the network in the partner's loss",
           {0, 1e6});
  args.add("guide-task", g.task_weight, "factor of the network's own loss in a guided training", {0, 1e6});
  args.add("guide-partner-task", g.partner_task_weight, "factor of the partner's own loss in a guided training",
           {0, 1e6});
  args.add("guide-temperature", g.temperature, "temperature of --guide logits_kl", {0.001, 1000});
  args.add("guide-partner-rate", m.partner_rate, "partner's learning rate over the network's", {0, 1000});
  args.add_need({"guide-layers", "guide-weight", "guide-partner-weight", "guide-task", "guide-partner-task",
                 "guide-partner-rate"},
                "guide", "without --guide", [&g] { return g.guide != "none"; });
  args.add_need({"guide-layers"}, "guide", "without --guide features", [&g] { return g.guide == "features"; });
  args.add_need({"guide-temperature"}, "guide", "without --guide logits_kl", [&g] { return g.guide == "logits_kl"; });
}

// The flags of a method's parts.
void declare_parts(Args& args, quant::Method& m) {
  declare_quantization(args, m);
  args.add("relaxation", m.relaxation, "how float weights and their projections make the weights of the forward pass",
           quant::relaxations());
  args.add_need({"relaxation"}, "weights", "without --weights", [&m] { return quantizes_weights(m); });
  args.add("update", m.update, "update of quantized weights; same: by --optimizer", quant::weight_updates());
  args.add_need({"update"}, "weights", "without --weights", [&m] { return quantizes_weights(m); });
  args.add("gradients", m.gradients, "how gradients are quantized on their way back through layers",
           quant::gradient_rules());
  declare_stages(args, m);
  declare_guide(args, m);
}

std::string as_flag(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string list;
  for (const auto& entry : value) list += cat(list.empty() ? "" : ",", as_flag(entry));
  return list;
}

}  // namespace

void declare_quantization(Args& args, quant::Method& m) {
  args.add("weights", m.weights, "how weights are quantized; none: float", quant::weight_projections());
  args.add("activations", m.activations, "how activations are quantized; relu, hard_tanh, clipped_relu: float",
           quant::activations());
  args.add("layers", m.layers,
           "layers that are an exception: 'first: float', 'last: weights=float', 'conv1: weights.bits=8'");
  args.allow_empty("layers");
}

void expect_optimizer_of(const quant::Method& m, const OptimSettings& optim) {
  check_usage(m.optimizer.empty() || optim.optimizer == m.optimizer, "--optimizer: given ", optim.optimizer,
              " with the method ", m.name, ", expected ", m.optimizer);
}

Preset preset_of(const std::string& name) {
  quant::Method m;
  Args parts("method", "the knobs of its parts");
  const auto every_program_s = nlohmann::json::parse(parts.config());
  declare_parts(parts, m);
  m = quant::method(name);
  Preset preset{name, {}};
  const auto all = nlohmann::json::parse(parts.config());
  for (const auto& [key, value] : all.items())
    if (!every_program_s.contains(key)) preset.values.emplace_back(key, as_flag(value));
  if (!m.optimizer.empty()) preset.values.emplace_back("optimizer", m.optimizer);
  return preset;
}

void declare(Args& args, quant::Method& m) {
  declare_parts(args, m);
  std::vector<Preset> presets;
  for (const std::string& name : quant::method_names()) presets.push_back(preset_of(name));
  args.add_presets("method", m.name, "method of the field, which sets all of its parts; own: each part by its flag",
                   std::move(presets));
}

}  // namespace coarsegrad::experiments
