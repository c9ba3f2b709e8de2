#pragma once
// Parts known by name, each with the options that it understands (core/base/options.h): projections, relaxations,
// activations, quantizers of gradients, those shipped and a program's own, which have the same rights.
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/options.h"
#include "core/base/registry.h"

namespace coarsegrad {

/// Which part is meant, and how it is set: {"blend", BlendOptions{.rho = 1e-4}}, or {"blend"} as it is when nobody sets
/// it.
struct Part {
  std::string name;         ///< as registered
  AnyOptions options = {};  ///< AnyOptions(): the part's own, as they are when nobody sets them

  /// A copy with one option set, for a part that has its options (PartCatalogue::complete). Throws as
  /// AnyOptions::set().
  Part with(std::string_view option, const OptionValue& value) const {
    Part changed = *this;
    changed.options.set(option, value);
    return changed;
  }
  /// Whether names and options are equal.
  friend bool operator==(const Part& a, const Part& b) = default;
};

/// The parts of one kind, whatever it is that they make: what flags, files and help need to know. May be used by
/// several threads.
class PartCatalogue {
 public:
  virtual ~PartCatalogue() = default;
  /// The names of all parts, in the order in which they were added.
  virtual std::vector<std::string> names() const = 0;
  /// The part of this name as it is when nobody sets its options. Throws UsageError, listing the known names.
  virtual Part part(std::string_view name) const = 0;
  /// Where the part of this name comes from: a paper, or "" for what has none. Throws UsageError for an unknown name.
  virtual std::string source(std::string_view name) const = 0;
  /// The given part, with the options that part() has where it has none. Throws UsageError for an unknown name then.
  Part complete(const Part& given) const { return given.options.none() ? part(given.name) : given; }
};

/// The parts of one kind together with what makes them: a Product (a relaxation, say) from the options of its part.
template <class Product>
class PartRegistry : public PartCatalogue {
 public:
  /// `kind` names the parts in messages: "relaxation"; `add_shipped` adds the first ones.
  explicit PartRegistry(
      std::string kind, void (*add_shipped)(PartRegistry&) = [](PartRegistry&) {})
      : entries_(std::move(kind), {}) {
    add_shipped(*this);
  }

  /// Makes a part known: its name, where it comes from, its options as they are when nobody sets them, and what makes
  /// it of options. Throws UsageError if the name is empty or taken.
  template <class Options, class Maker>
  void add(std::string name, std::string source, Options standard, Maker maker) {
    entries_.add(std::move(name),
                 Entry{std::move(source), std::move(standard), [maker](const AnyOptions& options) -> Product {
                         return maker(options.template as<Options>());
                       }});
  }
  /// Makes a part known that has no options.
  template <class Maker>
  void add(std::string name, std::string source, Maker maker) {
    entries_.add(std::move(name),
                 Entry{std::move(source), {}, [maker](const AnyOptions&) -> Product { return maker(); }});
  }

  std::vector<std::string> names() const override { return entries_.names(); }
  Part part(std::string_view name) const override { return {std::string(name), entries_.find(name).standard}; }
  std::string source(std::string_view name) const override { return entries_.find(name).source; }

  /// Makes the part. Throws UsageError for an unknown name, and Error for the options of another part.
  Product make(const Part& part) const {
    const Entry& entry = entries_.find(part.name);
    return entry.make(part.options.none() ? entry.standard : part.options);
  }

 private:
  struct Entry {
    std::string source;
    AnyOptions standard;
    std::function<Product(const AnyOptions&)> make;
  };
  Registry<Entry> entries_;
};

}  // namespace coarsegrad
