#pragma once
// Things known by name, in flags and configs: surrogates, projections, relaxations, activations, gradient
// quantizers. Those shipped come first, then those that a program adds.
#include <algorithm>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace coarsegrad {

/// Things of one kind by name. May be used by several threads. What was handed out stays where it is when more is
/// added.
template <class Thing>
class Registry {
 public:
  /// Names and things, in the order in which they were added.
  using Entries = std::deque<std::pair<std::string, Thing>>;
  /// `kind` names the things in messages: "weight projection".
  Registry(std::string kind, Entries shipped) : kind_(std::move(kind)), entries_(std::move(shipped)) {}

  /// The thing of this name. Throws UsageError, listing the known names, if there is none.
  const Thing& find(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    if (const auto found = position(name); found != entries_.end()) return found->second;
    std::string known;
    for (const auto& [entry, thing] : entries_) known += cat(" ", entry);
    throw UsageError(cat(kind_, ": given '", name, "', expected one of:", known));
  }

  /// Adds a thing and returns it where it stays. Throws UsageError if the name is empty or taken.
  const Thing& add(std::string name, Thing thing) {
    const std::lock_guard lock(mutex_);
    check_usage(!name.empty(), "register ", kind_, ": given an empty name, expected one");
    check_usage(position(name) == entries_.end(), "register ", kind_, ": '", name, "' is registered already");
    return entries_.emplace_back(std::move(name), std::move(thing)).second;
  }

  /// All names, in the order in which they were added.
  std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, thing] : entries_) names.push_back(name);
    return names;
  }

 private:
  typename Entries::const_iterator position(std::string_view name) const {
    return std::ranges::find(entries_, name, [](const auto& entry) -> std::string_view { return entry.first; });
  }

  std::string kind_;
  mutable std::mutex mutex_;
  Entries entries_;
};

}  // namespace coarsegrad
