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

/// "a, b, c".
std::string joined(const std::vector<std::string>& words);
/// As messages and the help show it.
std::string shown(const Json& value);

struct Knob {
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
  bool may_be_empty = false;  // a list
  Given given = Given::nowhere;
};

/// Over a variable that holds the default, which must be within the limits: throws Error otherwise.
template <class T, class Limits>
std::unique_ptr<Knob> typed_knob(const std::string& name, T& target, std::string help, Limits limits);
/// The part, which gets the options that nobody sets where it has none, and one knob for each option of any of `parts`.
std::vector<std::unique_ptr<Knob>> part_knobs(const std::string& name, Part& target, std::string help,
                                              const PartCatalogue& parts);

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

}  // namespace coarsegrad::experiments
