#pragma once
// State: what a part of a training remembers from one step to the next, so that it can be written down and brought
// back. A network, an optimizer, a weight rule, a loader and whatever else has a memory say what it is in state() and
// take it back in load_state(), which throws Error, naming the entry, for a state that is not one of this part. A
// training is saved as the list of the states of its parts.
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// Values by name, in the order of whoever made the list; names are unique.
using StateDict = std::vector<std::pair<std::string, Tensor>>;

/// What one part of a training remembers: entries of four kinds, by name.
struct State {
  StateDict tensors;                                         ///< an undefined one stands for what is not there yet
  std::map<std::string, std::vector<std::uint64_t>> counts;  ///< lists of whole numbers
  std::map<std::string, std::vector<double>> numbers;        ///< lists of numbers; NaN and infinity survive
  std::map<std::string, std::string> texts;                  ///< in UTF-8

  /// Number of entries, of all kinds together.
  std::size_t size() const { return tensors.size() + counts.size() + numbers.size() + texts.size(); }
  /// The list of that name. Throws Error when there is none.
  const std::vector<std::uint64_t>& counts_of(const std::string& name) const;
  const std::vector<double>& numbers_of(const std::string& name) const;
  /// The only entry of the list of that name, or the text. Throws Error when there is none, or more than one.
  std::uint64_t count(const std::string& name) const;
  double number(const std::string& name) const;
  const std::string& text(const std::string& name) const;

  /// Takes the entries of `part` in, each as PREFIX.NAME.
  void add(const std::string& prefix, const State& part);
  /// The entries that are called PREFIX.NAME, as NAME.
  State part(const std::string& prefix) const;

  /// Throws Error, naming it, for the first entry that only one of the two has. Tensors come in the same order;
  /// shapes, and the lengths of lists, may differ.
  void expect_entries_of(const State& wanted) const;
  /// Throws as expect_entries_of() does, and where a tensor is not defined or has another shape.
  void expect_shapes_of(const State& wanted) const;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
