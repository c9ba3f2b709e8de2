#include <algorithm>

#include "core/base/check.h"
#include "core/base/short_text.h"
#include "experiments/support/knob.h"

namespace coarsegrad::experiments {
namespace {

class PartKnob : public Knob {
 public:
  PartKnob(const std::string& name_, Part& target, std::string help_, const PartCatalogue& parts)
      : Knob(name_, std::move(help_)), target_(target), parts_(parts) {
    target_ = parts_.complete(target_);
  }
  using Knob::set;
  void set(const Json& value, const std::string& where, const std::string& text) override {
    check_usage(value.is_string() || (value.is_object() && value.contains("name") && value["name"].is_string()), where,
                ": given ", shortened(text), ", expected ", limits());
    const auto wanted = (value.is_string() ? value : value["name"]).get<std::string>();
    try {
      Part part = wanted == target_.name ? target_ : parts_.part(wanted);
      if (value.is_object())
        for (const auto& [option, setting] : value.items())
          if (option != "name") part.options.set(option, option_value(setting));
      target_ = std::move(part);
    } catch (const UsageError& e) {
      throw UsageError(cat(where, ": ", e.what(), hint));
    }
  }
  Json from_text(const std::string& text) const override {
    const Json object = text.starts_with('{') ? Json::parse(text, nullptr, false) : Json();
    return object.is_object() ? object : Json(text);
  }
  Json value() const override {
    Json json{{"name", target_.name}};
    for (const OptionField& field : target_.options.fields())
      std::visit([&](const auto& v) { json[field.text.name] = v; }, field.value);
    return json;
  }
  std::string shown_value() const override { return target_.name; }
  std::string limits() const override { return cat("one of ", joined(parts_.names())); }
  bool is_switch() const override { return false; }

 private:
  static OptionValue option_value(const Json& json) {
    if (json.is_boolean()) return json.get<bool>();
    if (json.is_string()) return json.get<std::string>();
    if (int whole = 0; json.is_number() && convert(json, whole)) return whole;
    return json.is_number() ? OptionValue(json.get<double>()) : OptionValue(dump(json));
  }

  Part& target_;
  const PartCatalogue& parts_;
};

// The knob of one option of all the parts that have it.
class PartOptionKnob : public Knob {
 public:
  PartOptionKnob(const std::string& part, std::string option, Part& target, const PartCatalogue& parts)
      : Knob(cat(part, ".", option), ""), part_(part), option_(std::move(option)), target_(target), parts_(parts) {
    recorded = false;  // the part's entry has it
    for (const std::string& owner : parts_.names())
      for (const OptionField& field : parts_.part(owner).options.fields())
        if (field.text.name == option_) describe(owner, field);
    const bool alike = std::ranges::all_of(described_, [this](const auto& d) { return d.text == described_[0].text; });
    if (alike) help = described_[0].text;
    for (const Description& d : described_)
      help += cat(help.empty() ? "" : "; ", joined(d.owners), ": ", alike ? "" : d.text + "; ", d.limits);
  }
  void set(const Json&, const std::string& where, const std::string& text) override {
    check_usage(target_.options.has(option_), where, ": has no effect with --", part_, ' ', target_.name, "; ",
                joined(owners_), owners_.size() == 1 ? " has it" : " have it");
    try {
      target_.options.set_text(option_, text);
    } catch (const UsageError& e) {
      const std::string words = e.what();
      throw UsageError(cat(where, words.substr(words.find(':'))));
    }
  }
  Json from_text(const std::string& text) const override { return text; }
  Json value() const override {
    return target_.options.has(option_) ? coarsegrad::shown(target_.options.get(option_)) : "";
  }
  std::string limits() const override { return ""; }
  bool is_switch() const override { return is_switch_; }

 private:
  struct Description {
    std::string text, limits;
    std::vector<std::string> owners;
  };

  void describe(const std::string& owner, const OptionField& field) {
    const std::string unit = field.text.unit.empty() || field.text.unit == "1" ? "" : cat(" [", field.text.unit, "]");
    const Description own{
        field.text.help + unit, cat(field.limits, " (default ", coarsegrad::shown(field.value), ")"), {}};
    const auto same = std::ranges::find_if(
        described_, [&own](const Description& d) { return d.text == own.text && d.limits == own.limits; });
    Description& mine = same == described_.end() ? described_.emplace_back(own) : *same;
    mine.owners.push_back(owner);
    is_switch_ = is_switch_ && std::holds_alternative<bool>(field.value);
    owners_.push_back(owner);
  }

  const std::string part_, option_;
  Part& target_;
  const PartCatalogue& parts_;
  std::vector<std::string> owners_;
  std::vector<Description> described_;
  bool is_switch_ = true;
};

}  // namespace

std::vector<std::unique_ptr<Knob>> part_knobs(const std::string& name, Part& target, std::string help,
                                              const PartCatalogue& parts) {
  std::vector<std::unique_ptr<Knob>> knobs;
  knobs.push_back(std::make_unique<PartKnob>(name, target, std::move(help), parts));
  std::vector<std::string> options;
  for (const std::string& part : parts.names())
    for (const OptionField& field : parts.part(part).options.fields())
      if (std::ranges::find(options, field.text.name) == options.end()) options.push_back(field.text.name);
  for (std::string& option : options)
    knobs.push_back(std::make_unique<PartOptionKnob>(name, std::move(option), target, parts));
  return knobs;
}

}  // namespace coarsegrad::experiments
