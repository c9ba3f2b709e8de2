#include "experiments/support/args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/short_text.h"
#include "experiments/support/config_file.h"
#include "experiments/support/nearest.h"
#include "experiments/support/text_table.h"

namespace coarsegrad::experiments {

namespace {

constexpr std::size_t kMaxList = 1000;
constexpr std::size_t kHelpColumn = 30, kHelpWidth = 110;

template <class T>
constexpr bool is_list = false;
template <class T>
constexpr bool is_list<std::vector<T>> = true;

// ---- values as they are shown in messages and in the help

std::string shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return cat(value.get<double>());
  if (!value.is_array()) return dump(value);
  std::string list;
  for (const Json& entry : value) list += (list.empty() ? "" : ",") + shown(entry);
  return list;
}

std::string joined(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

template <class T>
std::string limits_text(const Range<T>& range) {
  const Range<T> all;
  const bool below = range.min > all.min, above = range.max < all.max;
  if (std::is_integral_v<T> || (below && above))
    return cat(std::is_integral_v<T> ? "an integer" : "a number", " from ", range.min, " to ", range.max);
  if (below) return cat("a number >= ", range.min);
  return above ? cat("a number <= ", range.max) : "a finite number";
}
std::string limits_text(const Choices& choices) {
  return choices.empty() ? "text" : (choices.size() > 1 ? "one of " : "") + joined(choices);
}
std::string limits_text(std::monostate) { return "true or false"; }

// ---- from the command line to JSON, from JSON to the variable

/// Text of a flag as a JSON number, or as a JSON string when it is none.
Json number_or_text(const std::string& text) {
  const char *begin = text.data(), *end = begin + text.size();
  std::int64_t i = 0;
  if (const auto r = std::from_chars(begin, end, i); r.ec == std::errc() && r.ptr == end) return i;
  std::uint64_t u = 0;
  if (const auto r = std::from_chars(begin, end, u); r.ec == std::errc() && r.ptr == end) return u;
  double d = 0;
  if (const auto r = std::from_chars(begin, end, d); r.ec == std::errc() && r.ptr == end) return d;
  return text;
}

template <class T>
Json json_from_text(const std::string& text) {
  if constexpr (is_list<T>) {
    Json list = Json::array();
    if (text.empty()) return list;
    std::size_t begin = 0;
    for (std::size_t comma; (comma = text.find(',', begin)) != std::string::npos; begin = comma + 1)
      list.push_back(json_from_text<typename T::value_type>(text.substr(begin, comma - begin)));
    list.push_back(json_from_text<typename T::value_type>(text.substr(begin)));
    return list;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text;
  } else if constexpr (std::is_same_v<T, bool>) {
    return text == "true" ? Json(true) : text == "false" ? Json(false) : Json(text);
  } else {
    return number_or_text(text);
  }
}

/// The value as a T, or nothing when it is of another type or does not fit. Whole numbers may be written 1e6.
template <class T>
bool convert(const Json& value, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean() && (out = value.get<bool>(), true);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value.is_string() && (out = value.get<std::string>(), true);
  } else if constexpr (std::is_same_v<T, double>) {
    return value.is_number() && std::isfinite(out = value.get<double>());
  } else {
    if (value.is_number_float()) {
      const double d = value.get<double>();
      return std::abs(d) <= 0x1p53 && d == std::trunc(d) && convert(Json(static_cast<std::int64_t>(d)), out);
    }
    if (value.is_number_unsigned()) {
      const auto u = value.get<std::uint64_t>();
      return std::in_range<T>(u) && (out = static_cast<T>(u), true);
    }
    const auto i = value.is_number_integer() ? value.get<std::int64_t>() : 0;
    return value.is_number_integer() && std::in_range<T>(i) && (out = static_cast<T>(i), true);
  }
}

template <class T>
bool within(const T& value, const Range<T>& range) {
  return value >= range.min && value <= range.max;
}
bool within(const std::string& value, const Choices& choices) {
  const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (choices.empty()) return std::none_of(value.begin(), value.end(), control);
  return std::find(choices.begin(), choices.end(), value) != choices.end();
}
bool within(bool, std::monostate) { return true; }

template <class T, class Limits>
bool accept(const Json& value, const Limits& limits, T& out) {
  if constexpr (is_list<T>) {
    if (!value.is_array() || value.size() > kMaxList) return false;
    out.clear();
    for (const Json& entry : value) {
      typename T::value_type v{};
      if (!accept(entry, limits, v)) return false;
      out.push_back(std::move(v));
    }
    return true;
  } else {
    return convert(value, out) && within(out, limits);
  }
}

template <class T>
bool is_empty(const T& value) {
  if constexpr (is_list<T>) return value.empty();
  return false;
}

template <class T>
bool repeats(const T& list) {
  if constexpr (is_list<T>)
    for (const auto& entry : list)
      if (std::ranges::count(list, entry) > 1) return true;
  return false;
}

// ---- texts

std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789-_./=,:+@%") == std::string::npos;
  if (plain) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// Which of the names were probably meant, and where the others are listed.
std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  const std::string near = joined(nearest(word, names));
  return near.empty() ? "one that --help lists" : near + " (--help lists all)";
}

}  // namespace

// ---- knobs

struct Args::Knob {
  Knob(std::string name_, std::string help_) : name(std::move(name_)), help(std::move(help_)) {}
  virtual ~Knob() = default;
  /// Sets the variable; throws UsageError beginning with `where`, which shows the `text` that the value came from.
  virtual void set(const Json& value, const std::string& where, const std::string& text) = 0;
  void set(const Json& value, const std::string& where) { set(value, where, dump(value)); }
  void set_text(const std::string& text, const std::string& where) { set(from_text(text), where, text); }
  virtual Json from_text(const std::string& text) const = 0;
  virtual Json value() const = 0;
  virtual std::string shown_value() const { return shown(value()); }
  virtual std::string limits() const = 0;
  virtual bool is_switch() const = 0;

  enum class Given { nowhere, file, flag };

  std::string name, help, hint;
  bool recorded = true;  // part of the configuration, as against where to write and how much to say
  bool repeatable = false;
  Given given = Given::nowhere;
};

template <class T, class Limits>
class Args::TypedKnob : public Args::Knob {
 public:
  TypedKnob(const std::string& name_, T& target, std::string help_, Limits limits)
      : Knob(name_, std::move(help_)), target_(target), limits_(std::move(limits)), may_be_empty_(is_empty(target)) {
    T same{};
    check(accept(Json(target), limits_, same), "Args: default of --", name, ": given ", shown(target),
          ", expected ", this->limits());
  }
  using Knob::set;
  void set(const Json& value, const std::string& where, const std::string& text) override {
    T accepted{};
    check_usage(accept(value, limits_, accepted) && (may_be_empty_ || !is_empty(accepted)), where, ": given ",
                shortened(text), ", expected ", limits(), hint);
    check_usage(repeatable || !repeats(accepted), where, ": given ", shortened(shown(value)),
                ", expected each entry once");
    target_ = std::move(accepted);
  }
  Json from_text(const std::string& text) const override { return json_from_text<T>(text); }
  Json value() const override { return target_; }
  std::string limits() const override { return (is_list<T> ? "a list, each " : "") + limits_text(limits_); }
  bool is_switch() const override { return std::is_same_v<T, bool>; }

 private:
  T& target_;
  Limits limits_;
  const bool may_be_empty_;
};

// ---- parts and their options

class Args::PartKnob : public Args::Knob {
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

// One option, of whichever of the parts have it.
class Args::PartOptionKnob : public Args::Knob {
 public:
  PartOptionKnob(const std::string& part, std::string option, Part& target, const PartCatalogue& parts)
      : Knob(cat(part, ".", option), ""), part_(part), option_(std::move(option)), target_(target), parts_(parts) {
    recorded = false;  // the part's entry has it
    for (const std::string& owner : parts_.names())
      for (const OptionField& field : parts_.part(owner).options.fields())
        if (field.text.name == option_) describe(owner, field);
    for (const auto& [what, owners] : described_) help += cat(help.empty() ? "" : "; ", joined(owners), ": ", what);
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
  Json value() const override { return target_.options.has(option_) ? coarsegrad::shown(target_.options.get(option_)) : ""; }
  std::string limits() const override { return ""; }
  bool is_switch() const override { return is_switch_; }

 private:
  void describe(const std::string& owner, const OptionField& field) {
    const std::string unit = field.text.unit.empty() || field.text.unit == "1" ? "" : cat(" [", field.text.unit, "]");
    const std::string what = cat(field.text.help, unit, "; ", field.limits, " (default ", coarsegrad::shown(field.value), ")");
    const auto same = std::ranges::find(described_, what, [](const auto& d) { return d.first; });
    if (same == described_.end())
      described_.push_back({what, {owner}});
    else
      same->second.push_back(owner);
    is_switch_ = is_switch_ && std::holds_alternative<bool>(field.value);
    owners_.push_back(owner);
  }

  const std::string part_, option_;
  Part& target_;
  const PartCatalogue& parts_;
  std::vector<std::string> owners_;
  std::vector<std::pair<std::string, std::vector<std::string>>> described_;
  bool is_switch_ = true;
};

void Args::check_new(const std::string& name) const {
  check(!name.empty() &&
            name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos &&
            name.front() != '-',
        "Args: given the name '", name, "', expected lower-case letters, digits and dashes");
  const auto same = [&](const auto& knob) { return knob->name == name; };
  check(name != "help" && name != "config" && std::none_of(knobs_.begin(), knobs_.end(), same), "Args: --",
        name, " is there already");
}

template <class T, class Limits>
void Args::add_knob(const std::string& name, T& value, std::string help, Limits limits) {
  check_new(name);
  knobs_.push_back(std::make_unique<TypedKnob<T, Limits>>(name, value, std::move(help), std::move(limits)));
}

void Args::add(const std::string& name, int& value, std::string help, Range<int> range) {
  add_knob(name, value, std::move(help), range);
}
void Args::add(const std::string& name, std::int64_t& value, std::string help, Range<std::int64_t> range) {
  add_knob(name, value, std::move(help), range);
}
void Args::add(const std::string& name, std::uint64_t& value, std::string help, Range<std::uint64_t> range) {
  add_knob(name, value, std::move(help), range);
}
void Args::add(const std::string& name, double& value, std::string help, Range<double> range) {
  add_knob(name, value, std::move(help), range);
}
void Args::add(const std::string& name, bool& value, std::string help) {
  add_knob(name, value, std::move(help), std::monostate());
}
void Args::add(const std::string& name, std::string& value, std::string help, Choices choices) {
  add_knob(name, value, std::move(help), std::move(choices));
}
void Args::add(const std::string& name, std::vector<int>& value, std::string help, Range<int> range) {
  add_knob(name, value, std::move(help), range);
}
void Args::add(const std::string& name, std::vector<double>& value, std::string help, Range<double> range) {
  add_knob(name, value, std::move(help), range);
}
void Args::add(const std::string& name, std::vector<std::string>& value, std::string help, Choices choices) {
  add_knob(name, value, std::move(help), std::move(choices));
}

void Args::add(const std::string& name, Part& value, std::string help, const PartCatalogue& parts) {
  check_new(name);
  knobs_.push_back(std::make_unique<PartKnob>(name, value, std::move(help), parts));
  std::vector<std::string> options;
  for (const std::string& part : parts.names())
    for (const OptionField& field : parts.part(part).options.fields())
      if (std::ranges::find(options, field.text.name) == options.end()) options.push_back(field.text.name);
  for (std::string& option : options)
    knobs_.push_back(std::make_unique<PartOptionKnob>(name, std::move(option), value, parts));
}

void Args::allow_repeats(const std::string& name) { knob(name, "Args").repeatable = true; }

void Args::add_presets(const std::string& name, std::string& value, std::string help,
                       std::vector<Preset> presets) {
  check(preset_knob_.empty(), "Args: given presets in --", name, " and --", preset_knob_,
        ", expected one of them");
  Choices choices{value};
  for (const Preset& preset : presets) {
    if (preset.name != value) choices.push_back(preset.name);
    for (const auto& [other, text] : preset.values) {
      Knob& target = knob(other, cat("Args: preset ", preset.name));
      const Json before = target.value();
      target.set_text(text, cat("Args: preset ", preset.name, ": ", other));
      target.set(before, other);
    }
  }
  add(name, value, std::move(help), std::move(choices));
  preset_knob_ = name;
  presets_ = std::move(presets);
}

void Args::add_positional(const std::string& name) { positional_ = knob(name, "Args: positional").name; }

void Args::add_hint(const std::string& name, std::string hint) {
  knob(name, "Args: hint").hint = std::move(hint);
}

void Args::add_need(std::vector<std::string> names, std::string other, std::string words,
                    std::function<bool()> met) {
  for (const std::string& name : names) knob(name, "Args: need");
  knob(other, "Args: need");
  needs_.push_back({std::move(names), std::move(other), std::move(words), std::move(met)});
}

void Args::refuse_without_effect(const std::string& file) const {
  for (const Need& need : needs_) {
    if (need.met()) continue;
    const bool decided = knob(need.other, "").given != Knob::Given::nowhere;
    for (const std::string& name : need.names) {
      const Knob::Given given = knob(name, "").given;
      check_usage(given != Knob::Given::flag, "--", name, ": has no effect ", need.words);
      check_usage(given != Knob::Given::file || decided, file, ": ", name, ": has no effect ", need.words);
    }
  }
}

// ---- Args

Args::Args(std::string experiment, std::string summary)
    : experiment_(std::move(experiment)),
      summary_(std::move(summary)),
      threads_(num_threads()),
      out_("results/" + experiment_ + ".h5") {
  add("seed", seed_, "the only source of randomness");
  add("threads", threads_, "threads; results do not depend on it", {1, 1024});
  add("out", out_, "the log of this run (HDF5); folders are made");
  add("quiet", quiet_, "no progress on the terminal");
  add("take-over", take_over_,
      "where the file system has no locks: the process that owned --out is dead, go on without it");
  standard_knobs_ = knobs_.size();
  for (const std::size_t k : {2, 3, 4}) knobs_[k]->recorded = false;
}

Args::~Args() = default;

bool Args::parse(int argc, const char* const* argv) {
  command_line_.clear();
  for (int i = 0; i < argc; ++i) command_line_ += (i ? " " : "") + quoted(argv[i]);

  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  bool help_wanted = false;
  std::string file;
  std::vector<std::string> texts(knobs_.size());
  app.add_flag("--help,-h", help_wanted);
  const CLI::Option* config = app.add_option("--config", file);
  std::vector<const CLI::Option*> options;
  for (std::size_t i = 0; i < knobs_.size(); ++i) {
    const std::string& flag = knobs_[i]->name;
    const std::string place = flag == positional_ ? cat(",", flag) : "";
    options.push_back(knobs_[i]->is_switch() ? app.add_flag(cat("--", flag, ",!--no-", flag), texts[i])
                                             : app.add_option(cat("--", flag, place), texts[i])->take_last());
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
  if (help_wanted) return false;
  if (const auto extras = app.remaining(); !extras.empty()) throw UsageError(refusal_of(extras[0]));
  for (std::size_t i = 0; i < knobs_.size(); ++i)
    check_usage(options[i]->count() <= 1, "flag --", knobs_[i]->name, " given ", options[i]->count(),
                " times, expected once");
  const Json from_file = config->count() > 0 ? read_config(file) : Json::object();
  const auto where = [&](const std::string& key) { return cat(file, ": ", key); };
  for (const auto& knob : knobs_) knob->given = Knob::Given::nowhere;
  for (const auto& [key, value] : from_file.items())
    if (key != "comment" || !value.is_string()) {
      Knob& named = recorded_knob(key, file);
      named.set(value, where(key));
      named.given = Knob::Given::file;
    }
  for (std::size_t i = 0; i < knobs_.size(); ++i) {
    if (options[i]->count() > 0) knobs_[i]->given = Knob::Given::flag;
    if (knobs_[i]->name != preset_knob_) continue;
    if (options[i]->count() > 0) knobs_[i]->set_text(texts[i], "--" + preset_knob_);
    apply_preset(knobs_[i]->value().get<std::string>());
  }
  for (const auto& [key, value] : from_file.items())  // once more: the file wins over the preset
    if (key != "comment" && key != preset_knob_) knob(key, file).set(value, where(key));
  for (std::size_t i = 0; i < knobs_.size(); ++i)
    if (options[i]->count() > 0) knobs_[i]->set_text(texts[i], "--" + knobs_[i]->name);
  refuse_without_effect(file);
  return true;
}

void Args::read(const std::string& json, const std::string& where) {
  const Json object = Json::parse(json, nullptr, false);
  check_usage(object.is_object(), where, ": expected a JSON object");
  for (const auto& [key, value] : object.items()) recorded_knob(key, where).set(value, cat(where, ": ", key));
}

void Args::apply_preset(const std::string& chosen) {
  for (const Preset& preset : presets_)
    if (preset.name == chosen)
      for (const auto& [name, text] : preset.values) {
        Knob& target = knob(name, "--" + preset_knob_);
        target.set_text(text, cat("--", preset_knob_, " ", chosen, ": ", name));
      }
}

Args::Knob& Args::recorded_knob(const std::string& name, const std::string& where) const {
  const auto dot = name.find('.');
  Knob& named = knob(name, where);
  check_usage(dot == std::string::npos, where, ": given the key '", shortened(name), "', expected ", name.substr(0, dot),
              ": {\"name\": ..., \"", shortened(name.substr(dot + 1)), "\": ...}");
  return named;
}

Args::Knob& Args::knob(const std::string& name, const std::string& where) const {
  const auto found = std::ranges::find(knobs_, name, [](const auto& k) { return k->name; });
  if (found == knobs_.end()) {
    std::vector<std::string> names;
    for (const auto& knob : knobs_) names.push_back(knob->name);
    throw UsageError(cat(where, ": unknown key '", shortened(name), "', expected ", suggestion(name, names)));
  }
  return **found;
}

std::string Args::refusal_of(const std::string& word) const {
  if (!word.starts_with("-"))
    return cat("unexpected argument ", shortened(word), ", expected a flag before it");
  std::vector<std::string> flags{"--config", "--help"};
  for (const auto& knob : knobs_) {
    flags.push_back("--" + knob->name);
    if (knob->is_switch()) flags.push_back("--no-" + knob->name);
  }
  const std::string flag = word.substr(0, word.find('='));
  return cat("unknown flag ", shortened(flag), ", expected ", suggestion(flag, flags));
}

std::string Args::config() const {
  Json json = Json::object();
  for (const auto& knob : knobs_)
    if (knob->recorded) json[knob->name] = knob->value();
  return dump(json);
}

std::string Args::help() const {
  std::string text = experiment_ + ": " + summary_ + "\n\n";
  const auto line = [&](std::string flag, const std::string& what) {
    flag = "  --" + flag;
    flag += flag.size() + 2 > kHelpColumn ? "\n" + std::string(kHelpColumn, ' ')
                                          : std::string(kHelpColumn - flag.size(), ' ');
    text += flag + wrapped(what, kHelpColumn, kHelpWidth) + "\n";
  };
  for (std::size_t i = 0; i < knobs_.size(); ++i) {
    const Knob& knob =
        *knobs_[(i + standard_knobs_) % knobs_.size()];  // the experiment's own first, the standard ones last
    line(knob.is_switch() ? "[no-]" + knob.name : knob.name + " VALUE",
         knob.limits().empty() ? knob.help
                               : cat(knob.help, "; ", knob.limits(), " (default ", knob.shown_value(), ")"));
  }
  line("config FILE.json",
       "an object of these names without the dashes, and perhaps a comment; flags win over it");
  line("help", "this text");
  return text;
}

}  // namespace coarsegrad::experiments
