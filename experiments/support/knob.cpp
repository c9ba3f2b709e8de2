#include "experiments/support/knob.h"

#include <algorithm>
#include <charconv>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad::experiments {
namespace {

constexpr std::size_t kMaxList = 1000;

template <class T>
constexpr bool is_list = false;
template <class T>
constexpr bool is_list<std::vector<T>> = true;

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

template <class T, class Limits>
class TypedKnob : public Knob {
 public:
  TypedKnob(const std::string& name_, T& target, std::string help_, Limits limits)
      : Knob(name_, std::move(help_)), target_(target), limits_(std::move(limits)) {
    may_be_empty = is_empty(target);
    T same{};
    check(accept(Json(target), limits_, same), "Args: default of --", name, ": given ", shown(target), ", expected ",
          this->limits());
  }
  using Knob::set;
  void set(const Json& value, const std::string& where, const std::string& text) override {
    T accepted{};
    check_usage(accept(value, limits_, accepted) && (may_be_empty || !is_empty(accepted)), where, ": given ",
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
};

}  // namespace

std::string joined(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

std::string shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return cat(value.get<double>());
  if (!value.is_array()) return dump(value);
  std::string list;
  for (const Json& entry : value) list += cat(list.empty() ? "" : ",", shown(entry));
  return list;
}

template <class T, class Limits>
std::unique_ptr<Knob> typed_knob(const std::string& name, T& target, std::string help, Limits limits) {
  return std::make_unique<TypedKnob<T, Limits>>(name, target, std::move(help), std::move(limits));
}

template std::unique_ptr<Knob> typed_knob(const std::string&, int&, std::string, Range<int>);
template std::unique_ptr<Knob> typed_knob(const std::string&, std::int64_t&, std::string, Range<std::int64_t>);
template std::unique_ptr<Knob> typed_knob(const std::string&, std::uint64_t&, std::string, Range<std::uint64_t>);
template std::unique_ptr<Knob> typed_knob(const std::string&, double&, std::string, Range<double>);
template std::unique_ptr<Knob> typed_knob(const std::string&, bool&, std::string, std::monostate);
template std::unique_ptr<Knob> typed_knob(const std::string&, std::string&, std::string, Choices);
template std::unique_ptr<Knob> typed_knob(const std::string&, std::vector<int>&, std::string, Range<int>);
template std::unique_ptr<Knob> typed_knob(const std::string&, std::vector<double>&, std::string, Range<double>);
template std::unique_ptr<Knob> typed_knob(const std::string&, std::vector<std::string>&, std::string, Choices);

}  // namespace coarsegrad::experiments
