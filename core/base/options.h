#pragma once
// Options described once. A part that users name (a projection, an activation, a relaxation, ...) has a plain struct of
// options and one function that describes it, field by field:
//
//   struct BlendOptions {
//     double rho = 1e-5;
//     bool warm = false;
//   };
//   void describe(OptionVisitor& v, BlendOptions& o) {
//     v.number({"rho", "1", "share of the projection in a step"}, o.rho, {0, 1});
//     v.flag({"warm", "", "goes on from the step before"}, o.warm);
//   }
//
// Flags, JSON keys, help, checks, log attributes and tables in READMEs are made of that description.
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/check.h"

namespace coarsegrad {

/// What users are told of an option.
struct OptionText {
  std::string name,  ///< small letters, digits and hyphens
      unit,          ///< of a number, "1" for none; "" for what is no number
      help;          ///< one line, not empty
};

/// The values that an option may take; both ends belong to them.
template <class T>
struct OptionRange {
  T least,   ///< lower end
      most;  ///< upper end, kNoEnd for none
};

/// Is shown the fields of a struct of options by its describe(), in order; `value` is the field itself, which may be
/// read and set.
class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;
  /// A real number in `range`.
  virtual void number(const OptionText& text, double& value, OptionRange<double> range) = 0;
  /// A whole number in `range`.
  virtual void integer(const OptionText& text, int& value, OptionRange<int> range) = 0;
  /// Something that is on (true) or off.
  virtual void flag(const OptionText& text, bool& value) = 0;
  /// One of `choices`, which has two or more.
  virtual void choice(const OptionText& text, std::string& value, const std::vector<std::string>& choices) = 0;
};

/// The upper end of a range of numbers that has none.
inline constexpr double kNoEnd = std::numeric_limits<double>::max();

/// The value of any option.
using OptionValue = std::variant<bool, int, double, std::string>;
/// The value as text that a flag takes: "true", "3", "1e-05", "fitted".
std::string shown(const OptionValue& value);

/// A field of a struct of options as data.
struct OptionField {
  OptionText text;     ///< name, unit and help
  OptionValue value;   ///< what it is set to
  std::string limits;  ///< "a number from 0 to 1", "one of none, fitted", "true or false"
};

/// A struct of options of any type, with its description; a value.
class AnyOptions {
 public:
  /// No options: a struct without fields.
  AnyOptions() : AnyOptions(None{}) {}
  /// Options of a type that describe() is declared for. Throws Error for a description that contradicts itself: a name
  /// twice, a default outside of its limits.
  template <class Options>
  requires requires(OptionVisitor& v, Options& o) { describe(v, o); }
  // NOLINTNEXTLINE(google-explicit-constructor): a struct of options is meant where one is asked for
  AnyOptions(Options options) : held_(std::make_unique<Model<Options>>(std::move(options))) { check_description(); }
  /// A copy has fields of its own.
  AnyOptions(const AnyOptions& other) : held_(other.held_->copy()) {}
  AnyOptions(AnyOptions&&) noexcept = default;
  AnyOptions& operator=(AnyOptions other) noexcept {
    held_ = std::move(other.held_);
    return *this;
  }
  ~AnyOptions() = default;

  /// The struct itself. Throws Error when it is one of another type.
  template <class Options>
  const Options& as() const {
    check(held_->type() == typeid(Options), "options: given those of another part, expected its own");
    return static_cast<const Model<Options>&>(*held_).options;
  }

  /// All fields with what they are set to, in the order of the description.
  std::vector<OptionField> fields() const;
  /// Whether there is an option of this name.
  bool has(std::string_view name) const;
  /// Whether these are AnyOptions(), which no part has: where a part's options are expected they stand for its own, as
  /// they are when nobody sets them.
  bool none() const { return held_->type() == typeid(None); }
  /// The value of one option. Throws UsageError, listing the options, if there is none of this name.
  OptionValue get(std::string_view name) const;
  /// Sets one option. An integer is taken for a number. Throws UsageError "name: given, expected" for an unknown name,
  /// a value of another type, or one outside of its limits; nothing has changed then.
  void set(std::string_view name, const OptionValue& value);
  /// Sets one option from text, as a flag has it; throws as set() does.
  void set_text(std::string_view name, const std::string& text);

  /// Whether both are of the same type and hold the same values.
  friend bool operator==(const AnyOptions& a, const AnyOptions& b);

 private:
  struct None {};
  friend void describe(OptionVisitor&, None&) {}
  struct Held {
    virtual ~Held() = default;
    virtual std::unique_ptr<Held> copy() const = 0;
    virtual void show(OptionVisitor& v) = 0;
    virtual std::type_index type() const = 0;
  };
  template <class Options>
  struct Model : Held {
    explicit Model(Options o) : options(std::move(o)) {}
    std::unique_ptr<Held> copy() const override { return std::make_unique<Model>(options); }
    void show(OptionVisitor& v) override { describe(v, options); }
    std::type_index type() const override { return typeid(Options); }
    Options options;
  };
  /// Throws Error for a description that contradicts itself: a name twice, a default outside of its limits.
  void check_description() const;

  std::unique_ptr<Held> held_;
};

/// The values that differ from those of `standard`, which is of the same type, as text such as "rho 1e-05, warm"; ""
/// where none does.
std::string changes(const AnyOptions& options, const AnyOptions& standard);

}  // namespace coarsegrad
