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

/// Which part is meant, and how it is set.
struct Part {
  std::string name;
  AnyOptions options;
};

/// What a part of this kind makes is a Product. May be used by several threads.
template <class Product>
class PartRegistry {
 public:
  /// `kind` names the parts in messages: "relaxation".
  explicit PartRegistry(std::string kind) : entries_(std::move(kind), {}) {}

  /// Makes a part known: its name, where it comes from (a paper, or "" for what has none), its options as they are when
  /// nobody sets them, and what makes it of options. Throws UsageError if the name is empty or taken.
  template <class Options, class Make>
  void add(std::string name, std::string source, Options standard, Make make) {
    entries_.add(std::move(name), Entry{std::move(source), std::move(standard), [make](const AnyOptions& options) -> Product {
                                          return make(options.template as<Options>());
                                        }});
  }

  /// The part of this name as it is when nobody sets its options. Throws UsageError, listing the known names.
  Part part(std::string_view name) const { return {std::string(name), entries_.find(name).standard}; }
  /// Throws UsageError for an unknown name, and Error for the options of another part.
  Product make(const Part& part) const { return entries_.find(part.name).make(part.options); }
  const std::string& source(std::string_view name) const { return entries_.find(name).source; }
  /// In the order in which they were added.
  std::vector<std::string> names() const { return entries_.names(); }

 private:
  struct Entry {
    std::string source;
    AnyOptions standard;
    std::function<Product(const AnyOptions&)> make;
  };
  Registry<Entry> entries_;
};

}  // namespace coarsegrad
