#include "experiments/support/args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/short_text.h"
#include "experiments/support/config_file.h"
#include "experiments/support/knob.h"
#include "experiments/support/nearest.h"
#include "experiments/support/text_table.h"

namespace coarsegrad::experiments {

namespace {

constexpr std::size_t kHelpColumn = 30, kHelpWidth = 110;

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

/// The names that were probably meant, and where the others are listed.
std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  const std::string near = joined(nearest(word, names));
  return near.empty() ? "one that --help lists" : near + " (--help lists all)";
}

}  // namespace

void Args::check_new(const std::string& name) const {
  check(!name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos &&
            name.front() != '-',
        "Args: given the name '", name, "', expected lower-case letters, digits and dashes");
  const auto same = [&](const auto& knob) { return knob->name == name; };
  check(name != "help" && name != "config" && std::none_of(knobs_.begin(), knobs_.end(), same), "Args: --", name,
        " is there already");
}

template <class T, class Limits>
void Args::add_knob(const std::string& name, T& value, std::string help, Limits limits) {
  check_new(name);
  knobs_.push_back(typed_knob(name, value, std::move(help), std::move(limits)));
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
  for (auto& knob : part_knobs(name, value, std::move(help), parts)) knobs_.push_back(std::move(knob));
}

void Args::allow_empty(const std::string& name) { knob(name, "Args").may_be_empty = true; }

void Args::allow_repeats(const std::string& name) { knob(name, "Args").repeatable = true; }

void Args::add_presets(const std::string& name, std::string& value, std::string help, std::vector<Preset> presets) {
  check(preset_knob_.empty(), "Args: given presets in --", name, " and --", preset_knob_, ", expected one of them");
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

void Args::add_hint(const std::string& name, std::string hint) { knob(name, "Args: hint").hint = std::move(hint); }

void Args::add_need(std::vector<std::string> names, std::string other, std::string words, std::function<bool()> met) {
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
  add("seed", seed_, "seed of every random number of the run");
  add("threads", threads_, "threads that compute; results do not depend on their number", {1, 1024});
  add("out", out_, "the log of this run (HDF5); folders are made");
  add("quiet", quiet_, "no progress bar, and no lines in its place where there is no terminal");
  add("take-over", take_over_,
      "on file systems without locks: the process that owned --out is dead, take --out over from it");
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

Knob& Args::recorded_knob(const std::string& name, const std::string& where) const {
  const auto dot = name.find('.');
  Knob& named = knob(name, where);
  check_usage(dot == std::string::npos, where, ": given the key '", shortened(name), "', expected ",
              name.substr(0, dot), ": {\"name\": ..., \"", shortened(name.substr(dot + 1)), "\": ...}");
  return named;
}

Knob& Args::knob(const std::string& name, const std::string& where) const {
  const auto found = std::ranges::find(knobs_, name, [](const auto& k) { return k->name; });
  if (found == knobs_.end()) {
    std::vector<std::string> names;
    for (const auto& knob : knobs_) names.push_back(knob->name);
    throw UsageError(cat(where, ": unknown key '", shortened(name), "', expected ", suggestion(name, names)));
  }
  return **found;
}

std::string Args::refusal_of(const std::string& word) const {
  if (!word.starts_with("-")) return cat("unexpected argument ", shortened(word), ", expected a flag before it");
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
    line(
        knob.is_switch() ? "[no-]" + knob.name : knob.name + " VALUE",
        knob.limits().empty() ? knob.help : cat(knob.help, "; ", knob.limits(), " (default ", knob.shown_value(), ")"));
  }
  line("config FILE.json", "JSON object with the names of flags, without dashes, as keys; flags win over the file");
  line("help", "prints this text");
  return text;
}

}  // namespace coarsegrad::experiments
