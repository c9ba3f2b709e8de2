#pragma once
// A knob of an experiment: a name, help, and a variable that is set from JSON or text. Internal to the flags: mains use
// args.h.
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/part_registry.h"
#include "experiments/support/args.h"
#include "experiments/support/config_file.h"

namespace coarsegrad::experiments {

/// The words as one text: "a, b, c".
std::string joined(const std::vector<std::string>& words);
/// A value as messages and the help show it: texts without quotes, lists without brackets.
std::string shown(const Json& value);

/// One flag of an experiment and the variable that it sets.
struct Knob {
  /// A knob that nobody has set yet.
  Knob(std::string name_, std::string help_) : name(std::move(name_)), help(std::move(help_)) {}
  virtual ~Knob() = default;
  /// Sets the variable. Throws UsageError, which begins with `where` and shows the `text` that the value came from, for
  /// a value of another type or outside of the limits.
  virtual void set(const Json& value, const std::string& where, const std::string& text) = 0;
  /// Sets the variable to a value of a file. Throws UsageError for one that it does not take.
  void set(const Json& value, const std::string& where) { set(value, where, dump(value)); }
  /// Sets the variable to what stands on the command line. Throws UsageError for a text that it does not take.
  void set_text(const std::string& text, const std::string& where) { set(from_text(text), where, text); }
  /// The text of a flag as the JSON value that a file has for it; not checked.
  virtual Json from_text(const std::string& text) const = 0;
  /// The variable's present value as a file has it.
  virtual Json value() const = 0;
  /// The variable's present value as the help shows it.
  virtual std::string shown_value() const { return shown(value()); }
  /// The values that the knob takes, in words: "an integer from 1 to 1024".
  virtual std::string limits() const = 0;
  /// Whether the flag takes no value: --name or --no-name.
  virtual bool is_switch() const = 0;

  /// Where the last parse() found a value; nowhere: the variable has its default, or the value of a preset.
  enum class Given { nowhere, file, flag };

  std::string name,              ///< flag without its dashes
      help,                      ///< line of --help, without limits and default
      hint;                      ///< end of the message that refuses a value
  bool recorded = true;          ///< in the configuration; false for where to write and how much to say
  bool repeatable = false;       ///< for a list: entries may be equal
  bool may_be_empty = false;     ///< for a list: no entries will do
  Given given = Given::nowhere;  ///< by the last parse()
};

/// Makes the knob of a variable that holds the default. Throws Error when the default is not within the limits.
template <class T, class Limits>
std::unique_ptr<Knob> typed_knob(const std::string& name, T& target, std::string help, Limits limits);
/// Makes the knob of a part and one knob for each option that any of `parts` has. A `target` without options gets the
/// defaults of its part.
std::vector<std::unique_ptr<Knob>> part_knobs(const std::string& name, Part& target, std::string help,
                                              const PartCatalogue& parts);

/// Puts the value into `out`; false when it is of another type or does not fit. Whole numbers may be written 1e6.
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

}  // namespace coarsegrad::experiments
