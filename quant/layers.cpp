#include "quant/layers.h"

#include <algorithm>
#include <sstream>

#include "quant/activations/activation_quantizer.h"
#include "quant/weights/projection.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

/// * is any text.
bool fits(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() != '*')
    return !text.empty() && pattern.front() == text.front() && fits(pattern.substr(1), text.substr(1));
  for (std::size_t skipped = 0; skipped <= text.size(); ++skipped)
    if (fits(pattern.substr(1), text.substr(skipped))) return true;
  return false;
}

[[noreturn]] void refuse(const std::string& line) {
  throw UsageError(cat("layers: given '", line, "', expected LAYER: SETTING..., as in 'last: float', ",
                       "'conv1: weights.bits=8', 'stages.*: weights=twn activations=float'"));
}

}  // namespace

LayerExceptions::LayerExceptions(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    const auto colon = line.find(':');
    Exception e{line, line.substr(0, colon), {}};
    if (colon == std::string::npos || e.pattern.empty() || e.pattern.find(' ') != std::string::npos) refuse(line);
    std::istringstream words(line.substr(colon + 1));
    for (std::string word; words >> word;) {
      if (word == "float") {
        for (const Kind kind : {Kind::weights, Kind::activations, Kind::gradients})
          e.settings.push_back({kind, "", word});
        continue;
      }
      const auto equals = word.find('=');
      const std::string target = word.substr(0, equals), kind = target.substr(0, target.find('.'));
      if (equals == std::string::npos || equals + 1 == word.size()) refuse(line);
      Setting s{Kind::weights, target == kind ? "" : target.substr(kind.size() + 1), word.substr(equals + 1)};
      if (kind == "activations")
        s.kind = Kind::activations;
      else if (kind == "gradients" && s.option.empty() && s.value == "float")
        s.kind = Kind::gradients;
      else if (kind != "weights" || (target != kind && s.option.empty()))
        refuse(line);
      e.settings.push_back(std::move(s));
    }
    if (e.settings.empty()) refuse(line);
    all_.push_back(std::move(e));
  }
}

bool LayerExceptions::Exception::matches(const LayerPlace& layer) const {
  return (pattern == "first" && layer.first) || (pattern == "last" && layer.last) || fits(pattern, layer.name);
}

Part LayerExceptions::changed(Part part, Kind kind, const LayerPlace& layer, const PartCatalogue& parts,
                              const char* none) const {
  part = parts.complete(part);
  for (const Exception& e : all_) {
    if (!e.matches(layer)) continue;
    for (const Setting& s : e.settings) {
      if (s.kind != kind || (e.pattern == "last" && s.takes_levels())) continue;
      try {
        if (s.option.empty())
          part = parts.part(s.value == "float" ? none : s.value);
        else if (part.name != none)
          part.options.set_text(s.option, s.value);
      } catch (const UsageError& error) {
        throw UsageError(cat("layers: '", e.line, "': ", error.what()));
      }
    }
  }
  return part;
}

Part LayerExceptions::weights(const Part& part, const LayerPlace& layer) const {
  return changed(part, Kind::weights, layer, weight_projections(), "none");
}

Part LayerExceptions::activation(const Part& part, const LayerPlace& activation) const {
  return changed(part, Kind::activations, activation, activations(), "relu");
}

bool LayerExceptions::gradients(const LayerPlace& layer) const {
  return std::ranges::none_of(all_, [&](const Exception& e) {
    return e.matches(layer) &&
           std::ranges::any_of(e.settings, [](const Setting& s) { return s.kind == Kind::gradients; });
  });
}

bool LayerExceptions::last_activation() const {
  return std::ranges::none_of(all_, [](const Exception& e) {
    return e.pattern == "last" && std::ranges::any_of(e.settings, &Setting::takes_levels);
  });
}

bool LayerExceptions::changes_last_activation() const {
  return std::ranges::any_of(all_, [](const Exception& e) {
    return e.pattern == "last" && std::ranges::any_of(e.settings, [](const Setting& s) {
             return s.kind == Kind::activations && !s.takes_levels();
           });
  });
}

void LayerExceptions::expect_matches(const std::vector<std::string>& names) const {
  for (const Exception& e : all_) {
    const bool ends = e.pattern == "first" || e.pattern == "last";
    check_usage(ends || std::ranges::any_of(names, [&e](const std::string& name) { return fits(e.pattern, name); }),
                "layers: given '", e.line, "', expected a layer of this network before the colon");
  }
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
