#include "core/state.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

template <class Entries>
const auto& entry(const Entries& entries, const std::string& name) {
  const auto found = entries.find(name);
  check(found != entries.end(), "state: '", name, "' is missing");
  return found->second;
}

template <class T>
T only_one(const std::vector<T>& list, const std::string& name) {
  check(list.size() == 1, "state: given ", list.size(), " numbers for '", name, "', expected one");
  return list.front();
}

// One of the four kinds of entries, with the prefix put before the names or taken from them.

void add_to(StateDict& all, const std::string& name, const Tensor& value) { all.emplace_back(name, value); }

template <class T>
void add_to(std::map<std::string, T>& all, const std::string& name, const T& value) {
  all.emplace(name, value);
}

template <class Entries>
void add_all(Entries& all, const std::string& prefix, const Entries& more) {
  for (const auto& [name, value] : more) add_to(all, prefix + name, value);
}

template <class Entries>
Entries without_prefix(const Entries& all, const std::string& prefix) {
  Entries part;
  for (const auto& [name, value] : all)
    if (name.starts_with(prefix)) add_to(part, name.substr(prefix.size()), value);
  return part;
}

template <class Entries>
void expect_names(const Entries& given, const Entries& wanted) {
  auto next = given.begin();
  for (const auto& entry : wanted) {
    const std::string& name = entry.first;
    const bool there = std::ranges::any_of(given, [&name](const auto& other) { return other.first == name; });
    check(there, "state: '", name, "' is missing");
    if (next == given.end() || next->first != name)
      throw Error(cat("state: given ", in_quotes(next == given.end() ? "" : next->first), ", expected '", name, "'"));
    ++next;
  }
  if (next != given.end()) throw Error(cat("state: given ", in_quotes(next->first), ", which is unknown"));
}

}  // namespace

const std::vector<std::uint64_t>& State::counts_of(const std::string& name) const { return entry(counts, name); }
const std::vector<double>& State::numbers_of(const std::string& name) const { return entry(numbers, name); }
std::uint64_t State::count(const std::string& name) const { return only_one(counts_of(name), name); }
double State::number(const std::string& name) const { return only_one(numbers_of(name), name); }
const std::string& State::text(const std::string& name) const { return entry(texts, name); }

void State::add(const std::string& prefix, const State& part) {
  const std::string before = prefix + ".";
  add_all(tensors, before, part.tensors);
  add_all(counts, before, part.counts);
  add_all(numbers, before, part.numbers);
  add_all(texts, before, part.texts);
}

State State::part(const std::string& prefix) const {
  const std::string before = prefix + ".";
  return {without_prefix(tensors, before), without_prefix(counts, before), without_prefix(numbers, before),
          without_prefix(texts, before)};
}

void State::expect_entries_of(const State& wanted) const {
  expect_names(tensors, wanted.tensors);
  expect_names(counts, wanted.counts);
  expect_names(numbers, wanted.numbers);
  expect_names(texts, wanted.texts);
}

void State::expect_shapes_of(const State& wanted) const {
  expect_entries_of(wanted);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, value] = tensors[i];
    const Shape& shape = wanted.tensors[i].second.shape();
    check(value.defined() && value.shape() == shape, "state: given '", name, "' of shape ", value.shape(),
          ", expected ", shape);
  }
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
