#pragma once
// Tensors by name: what a sample, a batch or the state of a part is made of.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// Tensors by name, in the order in which they were added; each name once.
class NamedTensors {
 public:
  /// A name and its tensor.
  using Entry = std::pair<std::string, Tensor>;

  /// Adds an entry behind the others. Throws Error if the name is there already.
  void add(std::string name, Tensor tensor);
  /// The tensor of this name. Throws Error, listing the names that there are, if there is none.
  const Tensor& operator[](std::string_view name) const;
  /// Whether there is one of this name.
  bool contains(std::string_view name) const;

  /// Number of entries.
  std::size_t size() const { return entries_.size(); }
  /// The entries, in order.
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  auto begin() { return entries_.begin(); }
  auto end() { return entries_.end(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
