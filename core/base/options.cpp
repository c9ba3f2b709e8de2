#include "core/base/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/base/short_text.h"

namespace coarsegrad {
namespace {

std::string decimal(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string limits_of(OptionRange<double> r) {
  return r.most == kNoEnd ? cat("a number >= ", decimal(r.least))
                          : cat("a number from ", decimal(r.least), " to ", decimal(r.most));
}
std::string limits_of(OptionRange<int> r) {
  return r.least == r.most ? std::to_string(r.least) : cat("an integer from ", r.least, " to ", r.most);
}
std::string limits_of(const std::vector<std::string>& choices) { return "one of " + joined(choices); }
constexpr const char* kFlagLimits = "true or false";

template <class T>
bool within(T value, OptionRange<T> range) {
  return value >= range.least && value <= range.most;  // false for NaN
}

class Lister : public OptionVisitor {
 public:
  std::vector<OptionField> fields;
  void number(const OptionText& t, double& v, OptionRange<double> r) override {
    fields.push_back({t, v, limits_of(r)});
  }
  void integer(const OptionText& t, int& v, OptionRange<int> r) override { fields.push_back({t, v, limits_of(r)}); }
  void flag(const OptionText& t, bool& v) override { fields.push_back({t, v, kFlagLimits}); }
  void choice(const OptionText& t, std::string& v, const std::vector<std::string>& choices) override {
    fields.push_back({t, v, limits_of(choices)});
  }
};

/// Sets the field of one name, if the value is one for it.
class Setter : public OptionVisitor {
 public:
  Setter(std::string_view name, const OptionValue& value) : name_(name), value_(value) {}
  bool found = false;

  void number(const OptionText& t, double& v, OptionRange<double> r) override {
    if (t.name != name_) return;
    const auto* whole = std::get_if<int>(&value_);
    const auto* given = std::get_if<double>(&value_);
    const double wanted = whole ? *whole : given ? *given : std::nan("");
    take(t, v, wanted, within(wanted, r), limits_of(r));
  }
  void integer(const OptionText& t, int& v, OptionRange<int> r) override {
    if (t.name != name_) return;
    const auto* given = std::get_if<int>(&value_);
    take(t, v, given ? *given : 0, given && within(*given, r), limits_of(r));
  }
  void flag(const OptionText& t, bool& v) override {
    if (t.name != name_) return;
    const auto* given = std::get_if<bool>(&value_);
    take(t, v, given && *given, given != nullptr, kFlagLimits);
  }
  void choice(const OptionText& t, std::string& v, const std::vector<std::string>& choices) override {
    if (t.name != name_) return;
    const auto* given = std::get_if<std::string>(&value_);
    const bool known = given && std::ranges::find(choices, *given) != choices.end();
    take(t, v, known ? *given : std::string(), known, limits_of(choices));
  }

 private:
  template <class T>
  void take(const OptionText& t, T& v, T wanted, bool right, const std::string& limits) {
    found = true;
    check_usage(right, t.name, ": given ", shortened(shown(value_)), ", expected ", limits);
    v = std::move(wanted);
  }

  std::string_view name_;
  const OptionValue& value_;
};

/// What a text means for the field of one name; the text itself where it means nothing, so that it is refused as given.
class Reader : public OptionVisitor {
 public:
  Reader(std::string_view name, const std::string& text) : value(text), name_(name), text_(text) {}
  OptionValue value;

  void number(const OptionText& t, double&, OptionRange<double>) override { parse<double>(t); }
  void integer(const OptionText& t, int&, OptionRange<int>) override { parse<int>(t); }
  void flag(const OptionText& t, bool&) override {
    if (t.name == name_ && (text_ == "true" || text_ == "false")) value = text_ == "true";
  }
  void choice(const OptionText&, std::string&, const std::vector<std::string>&) override {}

 private:
  template <class T>
  void parse(const OptionText& t) {
    T number{};
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
    if (t.name == name_ && error == std::errc() && end == text_.data() + text_.size()) value = number;
  }

  std::string_view name_;
  const std::string& text_;
};

bool is_name(const std::string& text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

[[noreturn]] void refuse_unknown(std::string_view name, const std::vector<OptionField>& fields) {
  std::vector<std::string> names;
  for (const OptionField& f : fields) names.push_back(f.text.name);
  throw UsageError(cat("options: given '", shortened(name), "', expected ",
                       names.empty() ? std::string("none") : "one of " + joined(names)));
}

}  // namespace

std::string shown(const OptionValue& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int>(&value)) return std::to_string(*i);
  if (const auto* d = std::get_if<double>(&value)) return decimal(*d);
  return std::get<std::string>(value);
}

std::vector<OptionField> AnyOptions::fields() const {
  Lister lister;
  held_->show(lister);
  return lister.fields;
}

bool AnyOptions::has(std::string_view name) const {
  return std::ranges::any_of(fields(), [name](const OptionField& f) { return f.text.name == name; });
}

OptionValue AnyOptions::get(std::string_view name) const {
  const std::vector<OptionField> all = fields();
  for (const OptionField& f : all)
    if (f.text.name == name) return f.value;
  refuse_unknown(name, all);
}

void AnyOptions::set(std::string_view name, const OptionValue& value) {
  Setter setter(name, value);
  held_->show(setter);
  if (!setter.found) refuse_unknown(name, fields());
}

void AnyOptions::set_text(std::string_view name, const std::string& text) {
  Reader reader(name, text);
  held_->show(reader);
  set(name, reader.value);
}

void AnyOptions::check_description() const {
  std::set<std::string> names;
  AnyOptions copy = *this;
  for (const OptionField& f : fields()) {
    const bool is_new = names.insert(f.text.name).second;
    check(is_new && is_name(f.text.name), "options: described '", f.text.name,
          "', expected small letters, digits and hyphens, each name once");
    check(!f.text.help.empty(), "options: described ", f.text.name, " without help, expected a line");
    copy.set(f.text.name, f.value);
  }
}

bool operator==(const AnyOptions& a, const AnyOptions& b) {
  return a.held_->type() == b.held_->type() &&
         std::ranges::equal(a.fields(), b.fields(), {}, &OptionField::value, &OptionField::value);
}

std::string changes(const AnyOptions& options, const AnyOptions& standard) {
  std::vector<std::string> words;
  for (const OptionField& f : options.fields()) {
    if (f.value == standard.get(f.text.name)) continue;
    const auto* flag = std::get_if<bool>(&f.value);
    words.push_back(flag ? (*flag ? "" : "no ") + f.text.name : cat(f.text.name, ' ', shown(f.value)));
  }
  return joined(words);
}

}  // namespace coarsegrad
