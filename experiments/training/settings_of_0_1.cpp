#include "experiments/training/settings_of_0_1.h"

#include <nlohmann/json.hpp>

#include "core/base/part_registry.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/weights/projection.h"

namespace coarsegrad::experiments {
namespace {

using nlohmann::json;

// Options of smooth activations, which the files had for every network, and of fixed levels with a scale.
constexpr const char* kNoMore[] = {"activation-sharpness", "activation-hard-from", "activation-powers", "sharpness",
                                   "level-scale",          "level-powers"};

// Options of a part today, each with its key in version 0.1.
using Names = std::vector<std::pair<std::string, std::string>>;
const Names kOfWeights{{"bits", "weight-bits"},
                       {"per-channel", "per-channel"},
                       {"steps", "lloyd-steps"},
                       {"sign-of-zero", "sign-of-zero"},
                       {"mu-over-max", "mu-over-max"}};
const Names kOfActivations{{"bits", "activation-bits"},
                           {"surrogate", "ste"},
                           {"alpha", "alpha-start"},
                           {"step", "alpha-start"},
                           {"rate-factor", "alpha-rate"},
                           {"alpha-rule", "alpha"},
                           {"clamp-gradient", "clamp-alpha-gradient"},
                           {"record-range", "record-alpha"}};

// Whether the value stood for the default of the part.
bool is_own(const std::string& key, const json& value) {
  return (key == "ste" && value == "own") || (key == "alpha" && value == "fixed") ||
         ((key == "alpha-start" || key == "alpha-rate") && value == 0.0);
}

json part(const std::string& name, const PartCatalogue& parts, const Names& names, const json& old) {
  json made{{"name", name}};
  const AnyOptions options = parts.part(name).options;
  for (const auto& [option, key] : names)
    if (options.has(option) && old.contains(key) && !is_own(key, old[key])) made[option] = old[key];
  return made;
}

json weights(const json& old) {
  if (old.value("weight-bits", 0) == 0) return "none";
  const std::string name = old.value("projection", "exact");
  check_usage(name != "fixed_levels", "settings: given fixed_levels of version 0.1, expected levels without a scale");
  return part(name, quant::weight_projections(), kOfWeights, old);
}

json activations(const json& old) {
  if (old.value("activation-bits", 0) == 0) return "relu";
  const std::string name = old.value("activation", "uniform");
  const bool trained = name == "uniform" && old.value("alpha", "fixed") != "fixed";
  return part(trained ? "trained" : name, quant::activations(), kOfActivations, old);
}

json layers(const json& old) {
  json lines = json::array();
  if (!old.value("quantize-first", true)) lines.push_back("first: weights=float");
  if (!old.value("quantize-last", false)) lines.push_back("last: weights=float");
  if (!old.value("quantize-last-activation", true)) lines.push_back("last: activations=float");
  return lines;
}

}  // namespace

std::string settings_of_today(const std::string& text) {
  const json old = json::parse(text, nullptr, false);
  if (!old.is_object() || old.contains("weights")) return text;
  json settings = old;
  std::size_t erased = 0;
  for (const char* key : kNoMore) erased += settings.erase(key);
  for (const Names* names : {&kOfWeights, &kOfActivations})
    for (const auto& [option, key] : *names) erased += settings.erase(key);
  for (const char* key : {"projection", "activation", "quantize-first", "quantize-last", "quantize-last-activation"})
    erased += settings.erase(key);
  if (erased == 0) return text;
  try {
    settings.update({{"weights", weights(old)}, {"activations", activations(old)}, {"layers", layers(old)}});
  } catch (const std::exception&) {  // what version 0.1 would not have written, or is no more
    return text;
  }
  return settings.dump();
}

}  // namespace coarsegrad::experiments
